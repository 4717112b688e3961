import com.google.auth.oauth2.GoogleCredentials;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** Does what a user's program does: whoami, then read an object; both with application default credentials alone. */
public final class Act {
  public static void main(String[] arguments) throws Exception {
    String origin = arguments[0];
    GoogleCredentials credentials =
        GoogleCredentials.getApplicationDefault()
            .createScoped("https://www.googleapis.com/auth/cloud-platform");
    try {
      String token = credentials.refreshAccessToken().getTokenValue();
      System.out.println(get(origin + "/emulator/whoami", token));
      System.out.println(
          get(origin + "/storage/v1/b/" + arguments[1] + "/o/" + arguments[2] + "?alt=media", token));
    } catch (java.io.IOException error) {
      System.out.println("refused: " + error.getMessage().replace('\n', ' '));
    }
  }

  private static String get(String url, String token) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url)).header("Authorization", "Bearer " + token).build();
    return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
  }
}
