"""The smallest image that says what it is: an OCI image layout with one empty layer and the standard labels.

Source: OCI image specification, image-layout.md, manifest.md, config.md, annotations.md.
"""

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

LABELS = "org.opencontainers.image."


def write_layout(directory: Path, version: str, *, source: str, revision: str, created: str) -> str:
    """Write the layout with one image named by its version. Returns the digest of its manifest.

    source: the repository's URL. revision: the commit that it was built from. created: RFC 3339.
    """
    layer = _blob(directory, _empty_tar(), "application/vnd.oci.image.layer.v1.tar")
    labels = {"version": version, "source": source, "revision": revision, "created": created}
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {"Labels": {LABELS + name: value for name, value in labels.items()}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    config = _blob(directory, json.dumps(image).encode(), "application/vnd.oci.image.config.v1+json")
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
    entry = _blob(directory, json.dumps(manifest).encode(), media_type)
    entry["annotations"] = {LABELS.replace("image.", "image.ref.") + "name": version}
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return str(entry["digest"])


def _blob(directory: Path, content: bytes, media_type: str) -> dict[str, Any]:
    """Store content under its digest; returns its descriptor."""
    name = hashlib.sha256(content).hexdigest()
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / name).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}


def _empty_tar() -> bytes:
    buffer = BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()
