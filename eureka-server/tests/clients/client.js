// A service with eureka-js-client. Each line of its input is a command; the answer is one line. It ends with its input.

const readline = require('node:readline');
const { Eureka } = require('eureka-js-client');

const url = new URL(process.argv[2]);
const silent = () => {};
const client = new Eureka({
  logger: { debug: silent, info: silent, warn: console.error, error: console.error },
  instance: {
    app: 'javascript',
    instanceId: 'javascript',
    hostName: '127.0.0.1',
    ipAddr: '127.0.0.1',
    port: { $: 3000, '@enabled': true },
    vipAddress: 'javascript',
    dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
  },
  eureka: {
    host: url.hostname,
    port: Number(url.port),
    servicePath: '/eureka/apps/',
    heartbeatInterval: 1000,
    registryFetchInterval: 1000,
    filterUpInstances: false,
    useLocalMetadata: false,
  },
});
const say = (answer) => console.log(JSON.stringify(answer));
const commands = {
  seen: (name) =>
    say({ seen: client.getInstancesByAppId(name).map((each) => `${each.instanceId}=${each.status}`).sort().join(' ') }),
  stop: () => client.stop(() => say({ done: true })),
};

client.start((error) => {
  if (error) throw error;
  say({ ready: true });
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const [command, argument] = line.split(' ');
    commands[command](argument);
  });
  lines.on('close', () => process.exit());
});
