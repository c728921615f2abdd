package landscape;

import com.netflix.appinfo.ApplicationInfoManager;
import com.netflix.appinfo.InstanceInfo.InstanceStatus;
import com.netflix.discovery.EurekaClient;
import java.util.Scanner;
import java.util.stream.Collectors;

/** What a test says to a client: a command in a line, answered by a line. The program ends with its input, as if killed. */
final class Commands {

  private Commands() {}

  static void follow(EurekaClient client, ApplicationInfoManager manager, Runnable stop) {
    System.out.println("{\"ready\":true}");
    var commands = new Scanner(System.in);
    while (commands.hasNextLine()) {
      var words = commands.nextLine().split(" ");
      switch (words[0]) {
        case "seen" -> System.out.println("{\"seen\":\"" + seen(client, words[1]) + "\"}");
        case "status" -> {
          manager.setInstanceStatus(InstanceStatus.valueOf(words[1]));
          System.out.println("{\"done\":true}");
        }
        case "stop" -> {
          stop.run();
          System.out.println("{\"done\":true}");
        }
        default -> throw new IllegalArgumentException(words[0]);
      }
    }
    Runtime.getRuntime().halt(0);
  }

  /** The instances of an application that the client knows, each with its status. */
  private static String seen(EurekaClient client, String name) {
    var application = client.getApplication(name);
    if (application == null) {
      return "";
    }
    // Not by getInstances, which leaves out those that are not up, as the view for callers does.
    return application.getInstancesAsIsFromEureka().stream()
        .map(instance -> instance.getId() + "=" + instance.getStatus())
        .sorted()
        .collect(Collectors.joining(" "));
  }
}
