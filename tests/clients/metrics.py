"""The published Prometheus client for Python reads what the server exports."""

import os
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

request = urllib.request.Request(os.environ["MUSHAN_ADMIN_URL"].strip() + "/metrics")
request.add_header("Authorization", "Bearer " + os.environ["MUSHAN_ADMIN_TOKEN"].strip())
with urllib.request.urlopen(request, timeout=30) as response:
    families = list(text_string_to_metric_families(response.read().decode()))

by_name = {family.name: family for family in families}
assert len(families) > 80, len(families)
turns = by_name["mushan_turn_seconds"]
assert turns.type == "histogram", turns
buckets = [sample for sample in turns.samples if sample.name.endswith("_bucket") and sample.labels["shard"] == "0"]
assert buckets[-1].labels["le"] == "+Inf" and buckets[-1].value > 0, buckets
print(f"{len(families)} metrics read")
