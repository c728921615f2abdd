"""A service with py-eureka-client. Each line of its input is a command; the answer is one line. It ends with its input."""

import asyncio
import json
import os
import sys

from py_eureka_client.eureka_client import EurekaClient


def seen(client, name):
    application = client.applications.get_application(name)
    return " ".join(sorted(f"{each.instanceId}={each.status}" for each in application.instances))


async def main(url):
    client = EurekaClient(
        eureka_server=url,
        app_name="python",
        instance_id="python",
        instance_host="127.0.0.1",
        instance_ip="127.0.0.1",
        instance_port=9090,
        renewal_interval_in_secs=1,
        duration_in_secs=5,
    )
    await client.start()
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["seen", name]:
                print(json.dumps({"seen": seen(client, name)}), flush=True)
            case ["status", status]:
                await client.status_update(status)
                print(json.dumps({"done": True}), flush=True)
            case ["stop"]:
                await client.stop()
                print(json.dumps({"done": True}), flush=True)
                # Its thread would go on to renew, and register again when that is refused.
                os._exit(0)


asyncio.run(main(sys.argv[1]))
