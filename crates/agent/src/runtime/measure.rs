//! Asking a Prometheus server, and judging what it measured.

use super::{ask::Answer, spec::expand};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use trust::{manifest::Prometheus, names::printable};

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Measures once. What cannot be had, and an answer without a value, decide nothing.
pub(super) fn measure(what: &Prometheus, environment: &BTreeMap<String, String>, limit: Duration) -> Answer {
    let (url, query) = (expand(&what.url, environment), expand(&what.query, environment));
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Answer::Final(format!("'{}' is no address of a Prometheus server", printable(&url)));
    }
    match fetch(&url, &query, limit).and_then(|body| values_in(&body)) {
        Ok(values) => judge(what, &values),
        Err(why) => Answer::Unclear(format!("no measurement: {why}")),
    }
}

/// Every series must be well; one that is bad fails all.
fn judge(what: &Prometheus, values: &[f64]) -> Answer {
    let said = |value: f64| format!("measured {value}");
    let is_bad = |value: &&f64| what.failure.as_ref().is_some_and(|failure| failure.is_met(**value));
    if let Some(value) = values.iter().find(is_bad) {
        let failure = what.failure.as_ref().map(ToString::to_string).unwrap_or_default();
        return Answer::Final(format!("{}, which is {failure}", said(*value)));
    }
    let is_well = |value: &f64| match &what.success {
        Some(success) => success.is_met(*value),
        None => !value.is_nan(),
    };
    match values.iter().find(|value| !is_well(value)) {
        _ if values.is_empty() => Answer::Unclear("no measurement: the query has no value".into()),
        None => Answer::Good(values.iter().copied().map(said).collect::<Vec<_>>().join(", ")),
        Some(value) if value.is_nan() || what.failure.is_some() => Answer::Unclear(said(*value)),
        Some(value) => {
            let success = what.success.as_ref().map(ToString::to_string).unwrap_or_default();
            Answer::Bad(format!("{}, not {success}", said(*value)))
        }
    }
}

fn fetch(url: &str, query: &str, limit: Duration) -> Result<Vec<u8>, String> {
    // This thread is one of the runtime's own and may block; a measurement is rare, and needs no client that stays.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let away = |error: reqwest::Error| error.without_url().to_string();
    runtime.block_on(async {
        let client = api::client::web_client(limit).map_err(|error| error.to_string())?;
        let asked = client.get(format!("{}/api/v1/query", url.trim_end_matches('/'))).query(&[("query", query)]);
        let mut response = asked.send().await.map_err(away)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER_BYTES {
                return Err("the answer is too long".into());
            }
        }
        Ok(body)
    })
}

/// An answer of the HTTP API (prometheus.io/docs/prometheus/latest/querying/api, "Instant queries").
#[derive(Deserialize)]
struct Reply {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// The numbers in a Prometheus server's answer to a query; why there are none where it is no such answer.
pub fn values_in(body: &[u8]) -> Result<Vec<f64>, String> {
    let nonsense = |_: serde_json::Error| "the server does not answer as Prometheus does".to_owned();
    let reply: Reply = serde_json::from_slice(body).map_err(nonsense)?;
    if reply.status != "success" {
        return Err(printable(&reply.error.unwrap_or(reply.status)));
    }
    let Some(Data { kind, result }) = reply.data else { return Ok(Vec::new()) };
    let texts = match kind.as_str() {
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(result).map_err(nonsense)?;
            series.into_iter().map(|series| series.value.1).collect()
        }
        "scalar" => vec![serde_json::from_value::<(f64, String)>(result).map_err(nonsense)?.1],
        _ => return Err("the query's answer is neither a vector nor a scalar".into()),
    };
    let number = |text: &String| text.parse().map_err(|_| format!("'{}' is no number", printable(text)));
    texts.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::manifest::{Inconclusive, Threshold};

    fn what(success: Option<&str>, failure: Option<&str>) -> Prometheus {
        let threshold = |text: &str| Threshold::try_from(text.to_owned()).unwrap();
        Prometheus {
            url: "http://p".into(),
            query: "q".into(),
            success: success.map(threshold),
            failure: failure.map(threshold),
            inconclusive: Inconclusive::Undo,
        }
    }

    #[test]
    fn a_measurement_is_good_bad_or_decides_nothing() {
        let both = what(Some("< 0.01"), Some("> 0.05"));
        assert!(matches!(judge(&both, &[0.0, 0.001]), Answer::Good(said) if said == "measured 0, measured 0.001"));
        assert!(matches!(judge(&both, &[0.0, 0.06]), Answer::Final(said) if said == "measured 0.06, which is > 0.05"));
        for unclear in [&[0.02][..], &[0.0, f64::NAN], &[]] {
            assert!(matches!(judge(&both, unclear), Answer::Unclear(_)), "{unclear:?}");
        }
        let well = what(Some("< 0.01"), None);
        assert!(matches!(judge(&well, &[0.02]), Answer::Bad(said) if said == "measured 0.02, not < 0.01"));
        assert!(matches!(judge(&well, &[0.0]), Answer::Good(_)));
        let bad = what(None, Some("> 1"));
        assert!(matches!(judge(&bad, &[2.0]), Answer::Final(_)) && matches!(judge(&bad, &[1.0]), Answer::Good(_)));
        assert!(matches!(judge(&bad, &[f64::NAN]), Answer::Unclear(_)));
    }

    #[test]
    fn answers_of_a_server_are_read() {
        let vector = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"job":"web"},"value":[1435781451.781,"0.5"]},{"metric":{},"value":[1,"NaN"]}]}}"#;
        let values = values_in(vector).unwrap();
        assert!(values[0] == 0.5 && values[1].is_nan());
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"3"]}}"#;
        assert_eq!(values_in(scalar).unwrap(), [3.0]);
        let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[]}]}}"#;
        assert!(values_in(matrix).unwrap_err().contains("neither"));
        let wrong = br#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#;
        assert_eq!(values_in(wrong).unwrap_err(), "parse error at char 3");
        assert!(values_in(b"<html>").is_err() && values_in(br#"{"status":"success"}"#).unwrap().is_empty());
    }

    #[test]
    fn an_address_that_config_left_open_fails_at_once() {
        let unset = Prometheus { url: "$PROMETHEUS".into(), ..what(Some("< 1"), None) };
        let answer = measure(&unset, &BTreeMap::new(), Duration::from_secs(1));
        assert!(matches!(answer, Answer::Final(said) if said.contains("'$PROMETHEUS' is no address")));
    }
}
