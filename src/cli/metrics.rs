//! Examples for those who watch the bay from elsewhere, made from the same tables as what is watched.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::bay::alert::RULES;
use crate::bay::metric::{self, Kind, Metric};

use super::context::Context;
use super::exit::{CliError, Exit};

/// Arguments of `metrics`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// What is printed
    #[command(subcommand)]
    pub what: What,
}

/// What is printed.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Print a rule file for Prometheus: the alerts that podbay itself has
    Rules,
    /// Print a dashboard for Grafana: every figure of /metrics
    Dashboard,
}

/// `podbay metrics`.
pub fn run(context: &Context, args: &MetricsArgs) -> Result<Exit, CliError> {
    match args.what {
        What::Rules => context.out.text(&rules())?,
        What::Dashboard => context.out.json(&dashboard())?,
    }
    Ok(Exit::Done)
}

/// A rule file. A text between quotes of JSON is one of YAML, too.
fn rules() -> String {
    let mut text = "groups:\n  - name: podbay\n    rules:\n".to_owned();
    for rule in RULES {
        let quoted = |text: &str| Value::from(text).to_string();
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}s\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n",
            rule.name,
            quoted(rule.expr),
            rule.lasting.as_secs(),
            rule.severity,
            quoted(rule.summary),
        );
    }
    text
}

/// A dashboard with a panel a figure, two in a row.
fn dashboard() -> Value {
    let panels: Vec<Value> = metric::ALL.iter().enumerate().map(|(number, metric)| panel(number, metric)).collect();
    json!({
        "title": "podbay", "uid": "podbay", "schemaVersion": 39, "editable": true, "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]},
        "panels": panels,
    })
}

fn panel(number: usize, metric: &Metric) -> Value {
    let (expr, legend) = match metric.kind {
        Kind::Gauge => (metric.name.to_owned(), legend(metric)),
        Kind::Counter => (format!("rate({}[5m])", metric.name), legend(metric)),
        Kind::Histogram => {
            let by = [&["le"], metric.labels].concat().join(", ");
            (format!("histogram_quantile(0.95, sum by ({by}) (rate({}_bucket[5m])))", metric.name), legend(metric))
        }
    };
    let source = json!({"type": "prometheus", "uid": "${source}"});
    json!({
        "id": number + 1, "type": "timeseries", "title": metric.name, "description": metric.help, "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": (number % 2) * 12, "y": (number / 2) * 8},
        "fieldConfig": {"defaults": {"unit": metric.unit}, "overrides": []},
        "targets": [{"refId": "A", "expr": expr, "legendFormat": legend, "datasource": source}],
    })
}

fn legend(metric: &Metric) -> String {
    metric.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_is_a_rule_and_every_figure_a_panel() {
        let rules = rules();
        assert_eq!(rules.matches("- alert: ").count(), RULES.len());
        for rule in RULES {
            assert!(rules.contains(&format!("expr: {}\n", Value::from(rule.expr))), "{rules}");
        }
        let dashboard = dashboard();
        let panels = dashboard["panels"].as_array().unwrap();
        let titles: Vec<&str> = panels.iter().filter_map(|panel| panel["title"].as_str()).collect();
        assert_eq!(titles, metric::ALL.iter().map(|metric| metric.name).collect::<Vec<_>>());
        let claim = panels.iter().find(|panel| panel["title"] == "podbay_pool_claim_seconds").unwrap();
        let expr = "histogram_quantile(0.95, sum by (le, template) (rate(podbay_pool_claim_seconds_bucket[5m])))";
        assert_eq!(
            (&claim["targets"][0]["expr"], &claim["targets"][0]["legendFormat"]),
            (&expr.into(), &"{{template}}".into())
        );
    }
}
