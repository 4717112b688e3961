import com.google.api.gax.retrying.RetrySettings;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.cloud.storage.Storage;
import com.google.cloud.storage.StorageOptions;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;

/** Java clients as in a user's program: for each bucket on standard input one read, and one line of JSON. */
public final class Probe {
  private static final String OBJECT = "hello";
  private static final String SCOPE = "https://www.googleapis.com/auth/cloud-platform";

  private interface Reading {
    String read(String bucket) throws Exception;
  }

  public static void main(String[] arguments) throws IOException {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Reading reading = null;
    for (String bucket = lines.readLine(); bucket != null; bucket = lines.readLine()) {
      JsonObject answer = new JsonObject();
      try {
        if (reading == null) {
          reading = arguments[0].equals("storage") ? storage(arguments[1]) : auth(arguments[1]);
        }
        answer.addProperty("content", reading.read(bucket));
      } catch (Exception error) {
        answer.addProperty("error", error.getClass().getSimpleName());
        answer.addProperty("message", String.valueOf(error.getMessage()));
      }
      System.out.println(answer);
    }
  }

  private static Reading auth(String origin) throws IOException {
    GoogleCredentials credentials = GoogleCredentials.getApplicationDefault().createScoped(SCOPE);
    HttpClient client = HttpClient.newHttpClient();
    return bucket -> {
      URI url = URI.create(origin + "/storage/v1/b/" + bucket + "/o/" + OBJECT + "?alt=media");
      HttpRequest.Builder request = HttpRequest.newBuilder(url);
      credentials
          .getRequestMetadata(url)
          .forEach((name, values) -> values.forEach(value -> request.header(name, value)));
      HttpResponse<String> answer = client.send(request.build(), BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IOException("status " + answer.statusCode() + ": " + answer.body());
      }
      return answer.body();
    };
  }

  private static Reading storage(String origin) {
    Storage client =
        StorageOptions.newBuilder()
            .setHost(origin)
            .setRetrySettings(RetrySettings.newBuilder().setMaxAttempts(1).build())
            .build()
            .getService();
    return bucket -> new String(client.readAllBytes(bucket, OBJECT), StandardCharsets.UTF_8);
  }
}
