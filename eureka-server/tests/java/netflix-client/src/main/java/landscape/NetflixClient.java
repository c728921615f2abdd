package landscape;

import com.netflix.appinfo.ApplicationInfoManager;
import com.netflix.appinfo.InstanceInfo.InstanceStatus;
import com.netflix.appinfo.MyDataCenterInstanceConfig;
import com.netflix.appinfo.providers.EurekaConfigBasedInstanceInfoProvider;
import com.netflix.discovery.DefaultEurekaClientConfig;
import com.netflix.discovery.DiscoveryClient;
import com.netflix.discovery.shared.transport.jersey3.Jersey3TransportClientFactories;

/** A service with Netflix's own client, set up by system properties. */
public class NetflixClient {

  public static void main(String[] args) {
    var instance = new MyDataCenterInstanceConfig();
    var manager = new ApplicationInfoManager(instance, new EurekaConfigBasedInstanceInfoProvider(instance).get());
    var transport = Jersey3TransportClientFactories.getInstance();
    var client = new DiscoveryClient(manager, new DefaultEurekaClientConfig(), transport);
    manager.setInstanceStatus(InstanceStatus.UP);
    Commands.follow(client, manager, client::shutdown);
  }
}
