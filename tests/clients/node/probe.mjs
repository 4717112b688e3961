// Node clients as in a user's program: for each bucket on standard input one read, and one line of JSON.
import { createInterface } from "node:readline";

import { Storage } from "@google-cloud/storage";
import { GoogleAuth } from "google-auth-library";

const OBJECT = "hello";
const [client, origin] = process.argv.slice(2);

const clients = {
  "google-auth-library": () => {
    const auth = new GoogleAuth({ scopes: ["https://www.googleapis.com/auth/cloud-platform"] });
    return async (bucket) => {
      const url = `${origin}/storage/v1/b/${bucket}/o/${OBJECT}?alt=media`;
      return (await auth.request({ url, responseType: "text", retry: false })).data;
    };
  },
  storage: () => {
    const storage = new Storage({
      apiEndpoint: origin,
      useAuthWithCustomEndpoint: true,
      retryOptions: { autoRetry: false },
    });
    return async (bucket) => (await storage.bucket(bucket).file(OBJECT).download())[0].toString();
  },
};

const read = clients[client]();
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { content: await read(line.trim()) };
  } catch (error) {
    answer = { error: error.name, message: String(error.message) };
  }
  console.log(JSON.stringify(answer));
}
