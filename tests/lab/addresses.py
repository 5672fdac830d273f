"""Addresses of the lab. 198.18.0.0/15 is reserved for benchmarks of devices: no real network uses it."""

NODE_NAME = "node1"
NODE_IP = "198.18.0.1"
POD_CIDR = "198.18.0.0/16"
NODE_POD_CIDR = "198.18.1.0/24"
KWOK_POD_CIDR = "198.18.128.0/17"
SERVICE_CIDR = "198.19.0.0/16"
APISERVER_SERVICE_IP = "198.19.0.1"
S3_PORT = 8333
