//! One request to one receiver, signed as Standard Webhooks 1.0.0 says ("Symmetric signatures"): the base64 of
//! HMAC-SHA256 over `id.timestamp.body`, in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.

use super::{
    hooks::{Form, Hook, Secret},
    message::Notice,
};
use api::client::{ClientError, web_client};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use std::time::Duration;

/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who brings messages to one receiver.
pub struct Courier {
    client: reqwest::Client,
    hook: Hook,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The receiver could not be reached, or did not answer in time. The address is left out: it may be a secret.
    #[error("the receiver was not reached: {0}")]
    Away(String),
    /// The receiver answered, and did not take it.
    #[error("the receiver answered {0}")]
    NotTaken(u16),
    /// The message could not be made.
    #[error("the message could not be made: {0}")]
    Unmade(#[from] serde_json::Error),
}

impl Courier {
    /// For this receiver.
    pub fn new(hook: &Hook) -> Result<Self, ClientError> {
        Ok(Self { client: web_client(PATIENCE)?, hook: hook.clone() })
    }

    /// Brings one message; the answer is the receiver's status. Redirects are not followed.
    pub async fn deliver(&self, notice: &Notice, now: Timestamp) -> Result<u16, DeliveryError> {
        let body = match self.hook.form {
            Form::Json => serde_json::to_vec(notice)?,
            Form::Slack => serde_json::to_vec(&serde_json::json!({ "text": for_slack(&notice.text) }))?,
        };
        let seconds = now.as_second();
        let mut request = self.client.post(&self.hook.url).header("content-type", "application/json");
        request = request.header("webhook-id", &notice.id).header("webhook-timestamp", seconds.to_string());
        if let Some(secret) = &self.hook.secret {
            request = request.header("webhook-signature", signature(secret, &notice.id, seconds, &body));
        }
        let response = request.body(body).send().await;
        let response = response.map_err(|error| DeliveryError::Away(api::away::in_words(&error.without_url())))?;
        match response.status() {
            status if status.is_success() => Ok(status.as_u16()),
            status => Err(DeliveryError::NotTaken(status.as_u16())),
        }
    }
}

fn signature(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> String {
    // A key of any length makes an HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else { return String::new() };
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Slack reads `&`, `<` and `>` as its own marks unless they are written as entities.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let secret = Secret::try_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_string()).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
