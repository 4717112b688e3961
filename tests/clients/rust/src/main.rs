//! Rust clients as in a user's program: for each bucket on standard input one read, and one line of JSON.

use std::error::Error;

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use google_cloud_storage::client::Storage;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

type Answer = Result<String, Box<dyn Error>>;

const OBJECT: &str = "hello";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

enum Client {
    Auth { credentials: AccessTokenCredentials, http: reqwest::Client, origin: String },
    Storage(Storage),
}

impl Client {
    async fn new(name: &str, origin: &str) -> Result<Self, Box<dyn Error>> {
        if name == "google-cloud-storage" {
            return Ok(Self::Storage(Storage::builder().with_endpoint(origin).build().await?));
        }
        let credentials = Builder::default().with_scopes([SCOPE]).build_access_token_credentials()?;
        Ok(Self::Auth { credentials, http: reqwest::Client::new(), origin: origin.to_owned() })
    }

    async fn read(&self, bucket: &str) -> Answer {
        match self {
            Self::Auth { credentials, http, origin } => {
                let token = credentials.access_token().await?.token;
                let url = format!("{origin}/storage/v1/b/{bucket}/o/{OBJECT}?alt=media");
                let answer = http.get(url).bearer_auth(token).send().await?.error_for_status()?;
                Ok(answer.text().await?)
            }
            Self::Storage(client) => {
                let mut answer = client.read_object(format!("projects/_/buckets/{bucket}"), OBJECT).send().await?;
                let mut content = Vec::new();
                while let Some(part) = answer.next().await {
                    content.extend_from_slice(&part?);
                }
                Ok(String::from_utf8(content)?)
            }
        }
    }
}

/// Return the kind of an error, and its message with all causes.
fn describe(error: &dyn Error) -> Value {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        message = format!("{message}: {found}");
        cause = found.source();
    }
    json!({"error": "Error", "message": message})
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let client = Client::new(&arguments[1], &arguments[2]).await;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(bucket) = lines.next_line().await? {
        let answer = match &client {
            Ok(client) => client.read(bucket.trim()).await,
            Err(error) => Err(error.to_string().into()),
        };
        match answer {
            Ok(content) => println!("{}", json!({"content": content})),
            Err(error) => println!("{}", describe(error.as_ref())),
        }
    }
    Ok(())
}
