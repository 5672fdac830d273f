"""The S3 server as a pod, for clusters other than the lab: there the demo can not start one beside the node."""

import json

from tests.lab.s3 import LAB_IDENTITY

PORT = 8333


def manifests(registry: str) -> list[dict[str, object]]:
    """Return Secret, Service and Deployment of a server that forgets everything when it goes."""
    labels = {"app": "s3"}
    config = {
        "identities": [
            {
                "name": "demo",
                "credentials": [{"accessKey": LAB_IDENTITY.access_key, "secretKey": LAB_IDENTITY.secret_key}],
                "actions": list(LAB_IDENTITY.actions),
            }
        ]
    }
    container = {
        "name": "s3",
        "image": f"{registry}/seaweedfs:dev",
        "ports": [{"containerPort": PORT}],
        "args": [
            "server",
            "-dir=/data",
            "-ip.bind=0.0.0.0",
            "-master.telemetry=false",
            "-s3",
            f"-s3.port={PORT}",
            "-s3.config=/etc/s3/keys.json",
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 2},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # a path in the container
            {"name": "keys", "mountPath": "/etc/s3"},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "keys", "secret": {"secretName": "s3-keys"}},
        ],
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-keys"}, "stringData": {"keys.json": json.dumps(config)}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s3"}, "spec": {"selector": labels, "ports": [{"port": PORT}]}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "s3"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
    ]
