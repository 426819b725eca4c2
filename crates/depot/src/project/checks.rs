//! The parts of `sortie.toml` that say how it is found out that a build is well.

use super::{CONSECUTIVE, Field, Parsed, WITHIN_SECONDS, fields::Fields, read_command, read_duration, words};
use trust::manifest::{
    Health, HealthCheck, HttpCheck, Inconclusive, Migrate, Prometheus, Run, Smoke, Threshold, Verification,
    WATCH_SECONDS,
};

/// How long measurements may take, in seconds, unless the file says otherwise: they need traffic to measure.
pub const MEASURED_WITHIN_SECONDS: u32 = 300;
/// How often a measurement is asked for, in seconds, unless the file says otherwise.
pub const MEASURED_EVERY_SECONDS: u32 = 10;
/// How long a smoke test may take, in seconds, unless the file says otherwise.
pub const SMOKE_WITHIN_SECONDS: u32 = 60;
/// How long a migration may take, in seconds, unless the file says otherwise.
pub const MIGRATE_WITHIN_SECONDS: u32 = 600;

/// The `health` of a process.
pub(super) fn read_health(field: &Field<'_>, place: &str) -> Parsed<Health> {
    let mut fields = field.table(&format!("health of {place}"))?;
    let health = read_check(field, &mut fields)?;
    fields.end()?;
    Ok(health)
}

/// One `[verify.NAME]`.
pub(super) fn read_verification(field: &Field<'_>) -> Parsed<Verification> {
    let mut fields = field.table(&format!("verify {}", field.name))?;
    let (process, port, watch) = (fields.take("process"), fields.take("port"), fields.take("watch"));
    let check = read_check(field, &mut fields)?;
    fields.end()?;
    let measures = matches!(check.check, HealthCheck::Prometheus(_));
    Ok(Verification {
        process: process.map(|field| Ok(field.text()?.to_owned())).transpose()?,
        port: port.map(|field| Ok(field.number(1, 65_535)? as u16)).transpose()?,
        check,
        watch_seconds: watch.map_or(Ok(None), |field| read_watch(&field, measures))?,
    })
}

/// Whether the measurement of a `[verify.NAME]` can be made at all: where it is asked, and what the answer means.
pub(super) fn can_be_measured(field: &Field<'_>, verification: &Verification, run: &Run) -> Parsed<()> {
    let HealthCheck::Prometheus(measured) = &verification.check.check else { return Ok(()) };
    let mut fields = field.table(&format!("verify {}", field.name))?;
    let (address, failure) = (fields.take("prometheus"), fields.take("failure"));
    if let Some(address) = address {
        has_address(&address, &measured.url, run)?;
    }
    match (&measured.success, &measured.failure, failure) {
        (Some(success), Some(bad), Some(failure)) if success.overlaps(bad) => Err(failure.error(format!(
            "{}: some values are both \"{bad}\" and success = \"{success}\"; write two that no value meets at once, as \
             success = \"< 0.01\" and failure = \"> 0.05\"",
            failure.said()
        ))),
        _ => Ok(()),
    }
}

/// Whether a text is an address, as far as that is known before an environment has filled in what it mentions.
fn has_address(field: &Field<'_>, address: &str, run: &Run) -> Parsed<()> {
    let mut known = String::new();
    let mut rest = address;
    let mut is_filled_later = false;
    while let Some((before, after)) = rest.split_once('$') {
        let (name, after) = words::variable(after);
        let declared = run.config.get(name).map(|key| key.default.clone());
        let declared = declared.or_else(|| run.environment.get(name).cloned().map(Some));
        let of_sortie = name == "PORT" || name.starts_with("SORTIE_");
        if declared.is_none() && !of_sortie && !name.is_empty() {
            return Err(field.error(format!(
                "{} mentions ${name}, which nothing declares; write {name} = \"required\" under [config]",
                field.said()
            )));
        }
        known.push_str(before);
        match declared.flatten().filter(|value| !value.contains('$')) {
            Some(value) if !is_filled_later => known.push_str(&value),
            _ => is_filled_later = true,
        }
        rest = after;
    }
    known.push_str(rest);
    let names_a_host = |rest: &str| is_filled_later || !rest.is_empty() && !rest.starts_with('/');
    let is_address =
        ["http://", "https://"].into_iter().any(|scheme| known.strip_prefix(scheme).is_some_and(names_a_host));
    if is_address || is_filled_later && address.starts_with('$') {
        return Ok(());
    }
    Err(field.error(format!(
        "{}: '{}' is no address of a Prometheus server; write it as \"http://prometheus:9090\", or as \
         \"$PROMETHEUS\" and under [config] PROMETHEUS = \"required\"",
        field.said(),
        field.text()?
    )))
}

/// `true` and `false`, or how often. What goes without saying is not written.
fn read_watch(field: &Field<'_>, measures: bool) -> Parsed<Option<u32>> {
    match field.value.as_bool() {
        Some(is_watched) if is_watched == measures => Ok(None),
        Some(is_watched) => Ok(Some(if is_watched { WATCH_SECONDS } else { 0 })),
        None if field.value.as_str().is_some() => read_duration(field).map(Some),
        None => Err(field.error(format!("{} must be true, false, or how often, as \"30s\"", field.said()))),
    }
}

/// `[smoke]`.
pub(super) fn read_smoke(field: &Field<'_>) -> Parsed<Smoke> {
    let mut fields = field.table("smoke")?;
    let (run, process, within) = (fields.take("run"), fields.take("process"), fields.take("within"));
    fields.end()?;
    let run =
        run.ok_or_else(|| field.source.error(&field.key_span, "smoke has no 'run'; write run = \"./smoke.sh\""))?;
    Ok(Smoke {
        run: read_command(&run)?,
        process: process.map(|field| Ok(field.text()?.to_owned())).transpose()?,
        within_seconds: within.map_or(Ok(SMOKE_WITHIN_SECONDS), |field| read_duration(&field))?,
    })
}

/// `[migrate]`.
pub(super) fn read_migrate(field: &Field<'_>) -> Parsed<Migrate> {
    let mut fields = field.table("migrate")?;
    let (run, undo) = (fields.take("run"), fields.take("undo"));
    let (process, within) = (fields.take("process"), fields.take("within"));
    fields.end()?;
    let run =
        run.ok_or_else(|| field.source.error(&field.key_span, "migrate has no 'run'; write run = \"./migrate up\""))?;
    Ok(Migrate {
        run: read_command(&run)?,
        undo: undo.map(|field| read_command(&field)).transpose()?,
        process: process.map(|field| Ok(field.text()?.to_owned())).transpose()?,
        within_seconds: within.map_or(Ok(MIGRATE_WITHIN_SECONDS), |field| read_duration(&field))?,
    })
}

/// What is asked, how often and for how long.
fn read_check(field: &Field<'_>, fields: &mut Fields<'_>) -> Parsed<Health> {
    let check = read_question(field, fields)?;
    let (within, every) = (fields.take("within"), fields.take("every"));
    // The second is the word of before, which files written with it keep.
    let (successes, consecutive) = (fields.take("successes"), fields.take("consecutive"));
    if let (Some(_), Some(again)) = (&successes, &consecutive) {
        return Err(again.error("'consecutive' is another word for 'successes'; write it once"));
    }
    let measures = matches!(check, HealthCheck::Prometheus(_));
    let usually = if measures { MEASURED_WITHIN_SECONDS } else { WITHIN_SECONDS };
    let every_seconds = every.map(|field| read_duration(&field)).transpose()?;
    let successes = successes.or(consecutive);
    let health = Health {
        check,
        within_seconds: within.map_or(Ok(usually), |field| read_duration(&field))?,
        consecutive: successes.as_ref().map_or(Ok(CONSECUTIVE), |field| field.number(1, 100))?,
        every_seconds: every_seconds.or(measures.then_some(MEASURED_EVERY_SECONDS)),
    };
    can_be_well(&health, successes.as_ref())?;
    Ok(health)
}

/// Fails where so many good answers in a row take longer than it may take to become well: nothing more is asked once that is over.
fn can_be_well(health: &Health, successes: Option<&Field<'_>>) -> Parsed<()> {
    let (Some(successes), Some(every)) = (successes, health.every_seconds) else { return Ok(()) };
    let Health { consecutive, within_seconds: within, .. } = health;
    let takes = u64::from(consecutive.saturating_sub(1)) * u64::from(every);
    if *consecutive > 1 && takes >= u64::from(*within) {
        return Err(successes.error(format!(
            "{}: {consecutive} answers, one every {every} s, take {takes} s, and within is {within} s: it could never be \
             well",
            successes.said()
        )));
    }
    Ok(())
}

fn read_question(field: &Field<'_>, fields: &mut Fields<'_>) -> Parsed<HealthCheck> {
    let (http, tcp, command) = (fields.take("http"), fields.take("tcp"), fields.take("command"));
    let (log, prometheus) = (fields.take("log"), fields.take("prometheus"));
    let (status, contains) = (fields.take("status"), fields.take("contains"));
    let (query, success) = (fields.take("query"), fields.take("success"));
    let (failure, inconclusive) = (fields.take("failure"), fields.take("inconclusive"));
    let of_http = [&status, &contains].into_iter().flatten().next().cloned();
    let of_prometheus = [&query, &success, &failure, &inconclusive].into_iter().flatten().next().cloned();
    if let Some(stray) = of_http.filter(|_| http.is_none()) {
        return Err(stray.error(format!("{} belongs to http = \"/path\"", stray.said())));
    }
    if let Some(stray) = of_prometheus.filter(|_| prometheus.is_none()) {
        return Err(stray.error(format!("{} belongs to prometheus = \"ADDRESS\"", stray.said())));
    }
    match (http, tcp, command, log, prometheus) {
        (Some(http), None, None, None, None) => Ok(HealthCheck::Http(HttpCheck {
            path: read_http_path(&http)?,
            status: status.map(|field| Ok(field.number(100, 599)? as u16)).transpose()?,
            contains: contains.map(|field| Ok(field.text()?.to_owned())).transpose()?,
        })),
        (None, Some(tcp), None, None, None) => match tcp.boolean()? {
            true => Ok(HealthCheck::Tcp),
            false => Err(tcp.error("tcp = false asks nothing; leave it away to ask nothing")),
        },
        (None, None, Some(command), None, None) => Ok(HealthCheck::Command(read_command(&command)?)),
        (None, None, None, Some(log), None) => Ok(HealthCheck::Log(log.text()?.to_owned())),
        (None, None, None, None, Some(url)) => {
            let query = query.ok_or_else(|| url.error("a measurement needs query = \"…\", in PromQL"))?;
            Ok(HealthCheck::Prometheus(Prometheus {
                url: url.text()?.trim_end_matches('/').to_owned(),
                query: query.text()?.to_owned(),
                success: success.map(|field| read_threshold(&field)).transpose()?,
                failure: failure.map(|field| read_threshold(&field)).transpose()?,
                inconclusive: inconclusive.map_or(Ok(Inconclusive::default()), |field| read_inconclusive(&field))?,
            }))
        }
        _ => Err(field.error(format!(
            "{} must ask exactly one thing: {{ http = \"/healthz\" }}, {{ tcp = true }}, {{ command = \"…\" }}, \
             {{ log = \"…\" }} or {{ prometheus = \"…\" }}",
            field.said()
        ))),
    }
}

fn read_http_path(field: &Field<'_>) -> Parsed<String> {
    let text = field.text()?;
    // The path goes into a request line as it is, so it must not be able to end one.
    if !text.starts_with('/') || text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(field.error(format!("{} must be a path such as \"/healthz\"", field.said())));
    }
    Ok(text.to_owned())
}

fn read_threshold(field: &Field<'_>) -> Parsed<Threshold> {
    Threshold::try_from(field.text()?.to_owned()).map_err(|why| field.error(format!("{}: {why}", field.said())))
}

fn read_inconclusive(field: &Field<'_>) -> Parsed<Inconclusive> {
    match field.text()? {
        "continue" => Ok(Inconclusive::Continue),
        "undo" => Ok(Inconclusive::Undo),
        "pause" => Ok(Inconclusive::Pause),
        _ => Err(field.error(format!("{} must be \"continue\", \"undo\" or \"pause\"", field.said()))),
    }
}
