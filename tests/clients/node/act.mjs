// What a user's program does: whoami, then read an object; both with application default credentials alone.
import { GoogleAuth } from "google-auth-library";
import { Storage } from "@google-cloud/storage";

const [origin, bucket, object] = process.argv.slice(2);
try {
  const auth = new GoogleAuth({ scopes: ["https://www.googleapis.com/auth/cloud-platform"] });
  const client = await auth.getClient();
  const { data } = await client.request({ url: `${origin}/emulator/whoami` });
  const storage = new Storage({ apiEndpoint: origin, useAuthWithCustomEndpoint: true });
  const [content] = await storage.bucket(bucket).file(object).download();
  console.log(JSON.stringify({ whoami: data, content: content.toString() }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.message }));
}
