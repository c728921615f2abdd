package landscape;

import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.boot.web.servlet.error.ErrorController;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;
import org.springframework.context.event.EventListener;
import org.springframework.stereotype.Controller;
import org.springframework.web.bind.annotation.RequestMapping;

/** Spring's registry. It says its port, and ends when its input does: however the tests end, it does not outlive them. */
@EnableEurekaServer
@SpringBootApplication
public class Registry {

  public static void main(String[] args) throws IOException {
    SpringApplication.run(Registry.class, args);
    while (System.in.read() >= 0) {}
    Runtime.getRuntime().halt(0);
  }

  @EventListener
  void listens(WebServerInitializedEvent event) {
    System.out.println("{\"port\":" + event.getWebServer().getPort() + "}");
  }

  /** Errors without a body: a client that cannot read Spring's, in answer to a heartbeat, never registers again. */
  @Controller
  static class Errors implements ErrorController {

    @RequestMapping("/error")
    void none(HttpServletResponse response) {}
  }
}
