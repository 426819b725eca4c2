"""Makes the repository beside this file with python-tuf 7 and securesystemslib: `python make.py FOLDER`.

Root 1 is signed with RSA, root 2 with RSA and Ed25519; the online roles with ECDSA; targets delegate a folder to a role
of two keys of two kinds. The keys are thrown away: whoever runs this gets another repository of the same shape.
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

EXPIRES = datetime(2040, 1, 1, tzinfo=timezone.utc)
folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)


def write(name, signed, *signers):
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    data = metadata.to_bytes(JSONSerializer(compact=False))
    (folder / name).write_bytes(data)
    return MetaFile.from_data(signed.version, data, ["sha256", "sha512"])


rsa, old_online, online = CryptoSigner.generate_rsa(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ecdsa()
owner, builder, second = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa()

root = Root(expires=EXPIRES, consistent_snapshot=True)
root.add_key(rsa.public_key, "root")
root.add_key(owner.public_key, "targets")
for role in ("snapshot", "timestamp"):
    root.add_key(old_online.public_key, role)
write("1.root.json", root, rsa)

root.version = 2
root.add_key(owner.public_key, "root")
root.roles["root"].threshold = 2
for role in ("snapshot", "timestamp"):
    root.revoke_key(old_online.public_key.keyid, role)
    root.add_key(online.public_key, role)
write("2.root.json", root, rsa, owner)

nightly = Targets(version=3, expires=EXPIRES)
nightly.targets["nightly/tool ü.tgz"] = TargetFile.from_data("nightly/tool ü.tgz", b"nightly", ["sha512"])
listed_nightly = write("3.nightly builds.json".replace(" ", "%20"), nightly, builder, second)

targets = Targets(version=5, expires=EXPIRES)
targets.targets["tool.tgz"] = TargetFile.from_data("tool.tgz", b"stable", ["sha256", "sha512"])
keys = {signer.public_key.keyid: signer.public_key for signer in (builder, second)}
role = DelegatedRole("nightly builds", list(keys), 2, True, paths=["nightly/*"])
targets.delegations = Delegations(keys, {role.name: role})
listed_targets = write("5.targets.json", targets, owner)

snapshot = Snapshot(version=7, expires=EXPIRES)
snapshot.meta = {"targets.json": listed_targets, "nightly builds.json": listed_nightly}
write_listed = write("7.snapshot.json", snapshot, online)

timestamp = Timestamp(version=9, expires=EXPIRES, snapshot_meta=write_listed)
write("timestamp.json", timestamp, online)
