"""What the figures of the fleet are held against: other operators, measured on one machine, in one run per cell."""

SOURCE = (
    "measured on a 2-core machine with Kubernetes 1.37.2 and KWOK, operators out of cluster with their defaults, CRs created at 5/s, each "
    "asking one GPU; figures from the API server's audit log and /proc; one run per cell "
    "(KubeAI and KServe at 200 CRs: at 1,000 they did not finish)"
)
PEERS: dict[str, dict[str, float | str]] = {
    "KubeAI, 200 CRs": {
        "create_p50_s": 584,
        "create_p99_s": 602,
        "calls_per_create": 8.3,
        "writes_per_create": 8.3,
        "noop_writes_per_create": 1.0,
        "idle_5min_reads": 4,
        "idle_5min_writes": 30,
        "rss_mib": 91,
        "cpu_s": 1.6,
        "restart": "204 effective, 200 no-op writes",
        "delete_all_s": 4.0,
    },
    "production-stack operator, 1,000 CRs": {
        "create_p50_s": 0.031,
        "create_p99_s": 0.127,
        "calls_per_create": 10.1,
        "writes_per_create": 6.1,
        "noop_writes_per_create": 1.6,
        "rss_mib": 82,
        "cpu_s": 7.1,
        "restart": "never quiet",
        "delete_all_s": 20.8,
    },
    "production-stack operator, 200 CRs": {
        "create_p50_s": 0.010,
        "create_p99_s": 0.076,
        "calls_per_create": 10.4,
        "writes_per_create": 6.2,
        "noop_writes_per_create": 1.6,
        "idle_5min_reads": 4,
        "idle_5min_writes": 0,
        "rss_mib": 59,
        "cpu_s": 1.9,
        "restart": "never quiet: 20 writes/s",
        "delete_all_s": 2.3,
    },
    "KServe LLMInferenceService, 200 CRs": {
        "create_p50_s": 169,
        "create_p99_s": 207,
        "calls_per_create": 45,
        "writes_per_create": 21,
        "dry_runs_per_create": 9,
        "noop_writes_per_create": 0,
        "idle_5min_reads": 14,
        "idle_5min_writes": 0,
        "rss_mib": 127,
        "cpu_s": 222,
        "restart": "0 effective, 0 no-op writes, 800 dry-runs",
        "delete_all_s": 12.2,
    },
}
AGAINST = {"source": SOURCE, "peers": PEERS}
