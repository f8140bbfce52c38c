"""Write prometheusrule.yaml from deploy/prometheus/rules.yml, the one place where alerts are changed and tested."""

from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER.parents[2] / "prometheus" / "rules.yml"
RULE_FILE = FOLDER / "prometheusrule.yaml"


def prometheus_rule() -> str:
    """Return the resource as YAML."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "segmenter"},
        "spec": {"groups": yaml.safe_load(RULES.read_text("utf-8"))["groups"]},
    }
    body = yaml.safe_dump(resource, sort_keys=False, width=110, allow_unicode=True)
    return f"# Made by generate.py from deploy/prometheus/rules.yml.\n{body}"


if __name__ == "__main__":
    RULE_FILE.write_text(prometheus_rule(), "utf-8")
