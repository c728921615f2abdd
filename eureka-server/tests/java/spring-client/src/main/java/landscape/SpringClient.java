package landscape;

import com.netflix.appinfo.ApplicationInfoManager;
import com.netflix.discovery.EurekaClient;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A service of Spring's. */
@SpringBootApplication
public class SpringClient {

  public static void main(String[] args) {
    var context = SpringApplication.run(SpringClient.class, args);
    var manager = context.getBean(ApplicationInfoManager.class);
    Commands.follow(context.getBean(EurekaClient.class), manager, context::close);
  }
}
