"""How texts of the configuration are written: for machines as a pattern, and for people in words."""

from collections.abc import Mapping

# a DNS label with room for the revision's 12 characters
NAME = r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$"
LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
# what `pipelines.capacity` reads
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|[kMGTP]|[KMGTP]i)?$"
RESOURCE = r"^[a-z0-9.-]+/[A-Za-z0-9_.-]+$"
FULL_PATH = r"^/"
DIGEST = r"^sha256:[0-9a-f]{64}$"
ENDPOINT = r"^https?://\S+$"
HOOK = r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?([/?][^\s#]*)?$"
STORE = r"^(s3|gs|https?|oci|pvc)://[^\s]+$"
PACKAGE = r"^(s3|gs|minio|https?|oci|pvc)://[^\s]+$"
WORKSPACE = r"^(s3://[^/@]+|pvc://[^/@]+|file://)/.*[^/]$"

WORDS: Mapping[str, str] = {
    NAME: "wanted at most 53 lower-case letters, digits and hyphens, no hyphen first or last, such as credit-risk",
    LABEL: "wanted lower-case letters, digits and hyphens, no hyphen first or last, such as credit-risk",
    VARIABLE: "wanted the name of a variable, of letters, digits and _, such as AWS_ENDPOINT_URL",
    QUANTITY: "wanted a quantity as Kubernetes writes it, such as 2, 500m or 8Gi",
    RESOURCE: "wanted an extended resource as DOMAIN/NAME, such as nvidia.com/gpu",
    FULL_PATH: "wanted the full path of a file, such as /run/secrets/database/url",
    DIGEST: "wanted sha256: and 64 hexadecimal digits, as `fairway package` prints it",
    ENDPOINT: "wanted a web address without spaces, such as http://mlflow.models.svc:5000",
    HOOK: "wanted a web address of a host by name, without a password or a #, such as https://checks.example.com/hook",
    STORE: (
        "wanted an address without spaces: s3://bucket/prefix, gs://bucket/prefix, oci://registry/repository, "
        "pvc://claim/folder or https://host/folder"
    ),
    PACKAGE: (
        "wanted an address without spaces: s3://bucket/prefix, gs://bucket/prefix, oci://registry/repository, "
        "pvc://claim/folder, https://host/folder or minio://bucket/key"
    ),
    WORKSPACE: (
        "wanted a folder in a bucket, a claim or this machine, without a / at its end, such as s3://bucket/training, "
        "pvc://claim/training or file:///mnt/training"
    ),
}
