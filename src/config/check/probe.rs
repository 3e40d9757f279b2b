//! `ready = {..}` and `live = {..}`: exactly one question, and its pace.

use crate::bay::service::{Probe, ProbeTarget};

use super::super::error::Fault;
use super::super::file::ProbeTable;
use super::super::node::Path;
use super::{ensure, words};

/// From the table as written.
pub fn probe(table: &ProbeTable, path: &Path) -> Result<Probe, Fault> {
    let ProbeTable { http, tcp, exec, log, interval, timeout, retries, start_period } = table.clone();
    let asked = [http.is_some(), tcp.is_some(), exec.is_some(), log.is_some()].into_iter().filter(|asks| *asks).count();
    ensure(asked == 1, || {
        let what = format!("must ask exactly one of http, tcp, exec and log; it asks {asked}");
        Fault::new(path.clone(), what)
    })?;
    words::lasting(interval, &path.key("interval"))?;
    words::lasting(timeout, &path.key("timeout"))?;
    words::counted(retries, &path.key("retries"))?;
    let target = http
        .map(|url| http_target(url, &path.key("http")))
        .or_else(|| tcp.map(|address| tcp_target(address, &path.key("tcp"))))
        .or_else(|| exec.map(|argv| exec_target(argv, &path.key("exec"))))
        .or_else(|| log.map(|pattern| log_target(pattern, &path.key("log"))))
        .ok_or_else(|| Fault::new(path.clone(), "asks nothing"))??;
    Ok(Probe { target, interval, timeout, retries, start_period })
}

fn http_target(url: String, path: &Path) -> Result<ProbeTarget, Fault> {
    ensure(!url.starts_with("https:"), || {
        let what = "podbay asks without TLS; ask a plain address, or by exec = [\"curl\", \"-fsS\", URL]";
        Fault::new(path.clone(), what)
    })?;
    let fits = url
        .parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http")) && uri.host().is_some_and(|host| !host.is_empty()));
    ensure(fits, || {
        let what = format!("{url:?} is not a URL: write one like \"http://127.0.0.1:3001/health\"");
        Fault::new(path.clone(), what)
    })?;
    Ok(ProbeTarget::Http(url))
}

fn tcp_target(address: String, path: &Path) -> Result<ProbeTarget, Fault> {
    let fits = address.rsplit_once(':').is_some_and(|(host, port)| {
        let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        named && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    ensure(fits, || {
        Fault::new(
            path.clone(),
            format_args!("{address:?} is not an address: write HOST:PORT, like \"127.0.0.1:3001\""),
        )
    })?;
    Ok(ProbeTarget::Tcp(address))
}

fn exec_target(argv: Vec<String>, path: &Path) -> Result<ProbeTarget, Fault> {
    ensure(!argv.is_empty(), || Fault::new(path.clone(), "must name a program"))?;
    words::argv(&argv, path)?;
    Ok(ProbeTarget::Exec(argv))
}

fn log_target(pattern: String, path: &Path) -> Result<ProbeTarget, Fault> {
    ensure(!pattern.is_empty(), || Fault::new(path.clone(), "must not be empty: every line would match"))?;
    if let Err(error) = regex::Regex::new(&pattern) {
        let last = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return Err(Fault::new(path.clone(), format_args!("{pattern:?} is not a regular expression: {last}")));
    }
    Ok(ProbeTarget::Log(pattern))
}
