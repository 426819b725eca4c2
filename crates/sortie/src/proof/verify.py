#!/usr/bin/env python3
"""Checks an exported permit without Sortie, by other people's libraries: tuf, securesystemslib and cryptography.

    python3 -m venv checks && checks/bin/pip install tuf cryptography
    checks/bin/python verify.py --estate sha256:DIGEST [--build FILE]

The estate is the digest of the first root of trust. It must come from somewhere else than this folder, or nothing is
proved: `sortie whoami` prints it. With --build the digest of a manifest is compared with the one the permit is for.
Needs Python 3.11. Exit 0: the permit is whole. Exit 1: it is not, and why.
"""

import argparse
import base64
import hashlib
import itertools
import json
import pathlib
import sys
import tomllib
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, SSlibKey
from tuf.api.metadata import Metadata, Root, Targets

HERE = pathlib.Path(__file__).resolve().parent
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Wrong(Exception):
    """Something that does not hold."""


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def once(pairs):
    """Refuses an object that has a key twice: two readers could take it for two things."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise Wrong(f"{key} stands twice in a document")
        found[key] = value
    return found


def documents(estate):
    """The newest root and the charter, walked from the first root."""
    folder = HERE / "estate"
    number, root = 1, None
    while (file := folder / f"{number}.root.json").exists():
        data = file.read_bytes()
        if number == 1 and digest(data) != estate:
            raise Wrong(f"this is the estate {digest(data)}, not {estate}")
        following = Metadata[Root].from_bytes(data)
        if following.signed.version != number:
            raise Wrong(f"{file.name} is version {following.signed.version}")
        for authority in (root or following).signed, following.signed:
            authority.verify_delegate("root", following.signed_bytes, following.signatures)
        number, root = number + 1, following
    if root is None:
        raise Wrong("there is no root of trust")
    targets = Metadata[Targets].from_bytes((folder / "targets.json").read_bytes())
    root.signed.verify_delegate("targets", targets.signed_bytes, targets.signatures)
    charter = (folder / "charter.toml").read_bytes()
    targets.signed.targets["charter.toml"].verify_length_and_hashes(charter)
    return root.signed, tomllib.loads(charter.decode())


class SecurityKey(Key):
    """A FIDO key as OpenSSH uses it (its PROTOCOL.u2f): the device signs a digest of the message, with what it was made
    for, whether somebody touched it, and its counter."""

    def __init__(self, line):
        kind, blob = line.split()[:2]
        parts, data = [], base64.b64decode(blob)
        while data:
            length = int.from_bytes(data[:4], "big")
            parts, data = parts + [data[4 : 4 + length]], data[4 + length :]
        self.application = parts[-1]
        self.inner = load_ssh_public_key(line.encode())
        keytype = "sk-ed25519" if isinstance(self.inner, Ed25519PublicKey) else "sk-ecdsa"
        form = {"keytype": keytype, "keyval": {"public": f"{kind} {blob}"}, "scheme": kind}
        written = json.dumps(form, sort_keys=True, separators=(",", ":"))
        super().__init__(hashlib.sha256(written.encode()).hexdigest(), keytype, kind, form["keyval"])

    @classmethod
    def from_dict(cls, keyid, key_dict):
        return cls(key_dict["keyval"]["public"])

    def to_dict(self):
        return {"keytype": self.keytype, "scheme": self.scheme, "keyval": self.keyval}

    def verify_signature(self, signature, data):
        made = bytes.fromhex(signature.signature)
        bare, trailer = made[:-5], made[-5:]
        signed = hashlib.sha256(self.application).digest() + trailer + hashlib.sha256(data).digest()
        touched = len(trailer) == 5 and trailer[0] & 1 and not trailer[0] & 0xC0
        if not touched or signature.unrecognized_fields.get("scheme") != self.scheme:
            raise UnverifiedSignatureError("nobody touched the security key, or it is another kind of signature")
        try:
            if self.keytype == "sk-ed25519":
                self.inner.verify(bare, signed)
            else:
                self.inner.verify(bare, signed, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise UnverifiedSignatureError("the signature is false") from error


def charter_key(line):
    return SecurityKey(line) if line.startswith("sk-") else SSlibKey.from_crypto(load_ssh_public_key(line.encode()))


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def made(jwk, alg, signed, signature):
    """Whether an issuer's key signed, by the one algorithm that the key is for."""
    number = lambda name: int.from_bytes(unpadded(jwk[name]), "big")
    try:
        if (jwk["kty"], alg) == ("RSA", "RS256"):
            RSAPublicNumbers(number("e"), number("n")).public_key().verify(signature, signed, PKCS1v15(), SHA256())
        elif (jwk["kty"], alg) == ("EC", "ES256") and len(signature) == 64:
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            point = EllipticCurvePublicNumbers(number("x"), number("y"), SECP256R1()).public_key()
            point.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
        elif jwk["kty"] == "OKP" and alg in ("EdDSA", "Ed25519"):
            Ed25519PublicKey.from_public_bytes(unpadded(jwk["x"])).verify(signature, signed)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def speaks_for(oidc, token, keyid, submit_before):
    """Whether an issuer's token, as the charter pins it, speaks for a job's key when its statement is submitted."""
    signed, signature = token.rsplit(".", 1)
    header, claims = (json.loads(unpadded(part), object_pairs_hook=once) for part in signed.split("."))
    word = lambda value: value if isinstance(value, str) else json.dumps(value)
    keys = [json.loads(jwk) if isinstance(jwk, str) else jwk for jwk in oidc["keys"]]
    audience = claims["aud"][0] if isinstance(claims["aud"], list) and len(claims["aud"]) == 1 else claims["aud"]
    return (
        "crit" not in header
        and any(made(jwk, header["alg"], signed.encode(), unpadded(signature)) for jwk in keys)
        and claims["iss"] == oidc["issuer"]
        and audience == f"{oidc['audience']}:{keyid}"
        and all(word(claims.get(claim)) == wanted for claim, wanted in oidc["claims"].items())
        and claims["exp"] - claims["iat"] <= 3600
        and max(claims["iat"], claims.get("nbf", 0)) <= submit_before.timestamp() <= claims["exp"]
    )


class People:
    """Whose key is whose, and what roles they hold."""

    def __init__(self, root, charter):
        self.keys, self.name, self.roles, self.in_hardware, self.tokens = {}, {}, {}, set(), {}
        self.robots = set(charter.get("robots", {}))
        for section in "people", "robots":
            for name, person in charter.get(section, {}).items():
                self.roles.setdefault(name, set()).update(person.get("roles", []))
                if "oidc" in person:
                    self.tokens[name] = person["oidc"]
                for held in person.get("keys", []):
                    held = {"key": held} if isinstance(held, str) else held
                    key = charter_key(held["key"])
                    self.add(name, key)
                    if held.get("hardware") or isinstance(key, SecurityKey):
                        self.in_hardware.add(key.keyid)
        named = root.unrecognized_fields["x-sortie-people"]
        self.owners = {named[keyid] for keyid in root.roles["targets"].keyids}
        for keyid in root.roles["targets"].keyids:
            self.roles.setdefault(named[keyid], set()).add("owner")
            self.add(named[keyid], root.keys[keyid])

    def add(self, name, key):
        if self.name.setdefault(key.keyid, name) != name:
            raise Wrong(f"one key belongs to both {name} and {self.name[key.keyid]}")
        self.keys[key.keyid] = key

    def job_keys(self, envelope, submit_before):
        """The keys of CI jobs that an issuer's tokens speak for, with the robot that each stands for."""
        for signature in envelope["signatures"]:
            if proof := signature.get("proof"):
                form = proof["key"]
                line = form["keyval"]["public"]
                written = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                keyid = hashlib.sha256(written.replace("\\n", "\n").encode()).hexdigest()
                key = SecurityKey(line) if line.startswith("sk-") else SSlibKey.from_dict(keyid, dict(form))
                for robot, oidc in self.tokens.items():
                    if key.keyid == keyid and speaks_for(oidc, proof["token"], keyid, submit_before):
                        yield robot, key

    def forget(self, name):
        self.tokens.pop(name, None)
        self.keys = {keyid: key for keyid, key in self.keys.items() if self.name[keyid] != name}
        self.roles.pop(name, None)


class Statement:
    """A signed statement: what it says, and who of the charter genuinely signed it."""

    def __init__(self, file, people, estate, kind):
        written = json.loads(file.read_text(), object_pairs_hook=once)
        envelope = Envelope.from_dict(json.loads(file.read_text()))
        if envelope.payload_type != PAYLOAD_TYPE:
            raise Wrong(f"{file.name} is no in-toto statement")
        said = json.loads(envelope.payload, object_pairs_hook=once)
        submit_before = moment(said["predicate"]["submit_before"])
        # A signature with a proof counts as its proof says, and never as its key's alone.
        proved = {signature["keyid"] for signature in written["signatures"] if "proof" in signature}
        robots = {key.keyid: (robot, key) for robot, key in people.job_keys(written, submit_before)}
        keys = [key for keyid, key in people.keys.items() if keyid not in proved]
        try:
            signed = envelope.verify(keys + [key for _, key in robots.values()], 1)
        except VerificationError:
            raise Wrong(f"{file.name}: nobody of the charter signed this") from None
        self.keys = {keyid for keyid in signed if keyid not in robots}
        self.by = {robots[keyid][0] if keyid in robots else people.name[keyid] for keyid in signed}
        self.kind = said["predicateType"].removeprefix("https://sortie.dev/").removesuffix("/v1")
        self.payload = digest(envelope.payload)
        self.says = said["predicate"]
        (subject,) = said["subject"]
        self.subject = "sha256:" + subject["digest"]["sha256"]
        if self.kind != kind:
            raise Wrong(f"{file.name} is a {self.kind}")
        if self.says["estate"] != estate:
            raise Wrong(f"{file.name} is of another estate")


def met(rule, roles_of):
    """Whether distinct people fill every place of a rule such as "qa and 2 ops or owner"."""

    def places(alternative):
        for part in alternative.split(" and "):
            words = part.split()
            count, role = (int(words[0]), words[1]) if len(words) == 2 else (1, words[0])
            yield from [role] * count

    for alternative in rule.split(" or "):
        wanted = list(places(alternative))
        people = list(roles_of)
        for seats in itertools.permutations(people, len(wanted)):
            if all(role in roles_of[person] for person, role in zip(seats, wanted)):
                return True
    return False


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check(estate, build_file):
    root, charter = documents(estate)
    people = People(root, charter)
    statements = HERE / "statements"
    for file in sorted(statements.glob("suspension-*.dsse.json")):
        suspension = Statement(file, people, estate, "administration")
        act = suspension.says["act"]
        if act["type"] == "suspend-person" and suspension.by & (people.owners | {act["person"]}):
            people.forget(act["person"])
    push, number, request = (
        Statement(statements / f"{kind}.dsse.json", people, estate, kind) for kind in ("push", "number", "request")
    )
    asked = request.says
    app, version, audience = asked["app"], asked["version"], asked["audience"]
    place = charter.get("environments", {}).get(audience) or charter.get("channels", {}).get(audience)
    if place is None:
        raise Wrong(f"the charter has no audience {audience}")
    if len({push.subject, number.subject, request.subject}) != 1:
        raise Wrong("push, number and request are about different builds")
    if (number.says["app"], number.says["version"]) != (app, version) or push.says["app"] != app:
        raise Wrong("push and number are of something else than was asked for")
    may_push = charter.get("applications", {}).get(app, {}).get("push") or charter.get("push", "developer or ci or owner")
    for statement in push, number:
        if not any(met(may_push, {name: people.roles[name]}) for name in statement.by):
            raise Wrong(f"the {statement.kind} is by nobody who may push {app}")
    if build_file and digest(build_file.read_bytes()) != request.subject:
        raise Wrong(f"{build_file} is another build than the permit is for")
    approvals = [
        Statement(file, people, estate, "approval") for file in sorted(statements.glob("approval-*.dsse.json"))
    ]
    by = {key for approval in approvals if approval.subject == request.payload for key in approval.keys}
    if place.get("hardware", False):
        by &= people.in_hardware
    agreed = {people.name[key] for key in by}
    agreed -= people.robots
    live = "class" not in place or place["class"] == "live"
    if live and not place.get("approve_own", False):
        agreed -= push.by | request.by
    roles_of = {name: people.roles[name] for name in agreed}
    for rule in asked["requires"], place.get("approve"):
        if rule and not met(rule, roles_of):
            raise Wrong(f"{audience} needs {rule}, and those who agreed are {', '.join(sorted(agreed)) or 'nobody'}")
    dead = 0
    for file in sorted(statements.glob("withdrawal-*.dsse.json")):
        withdrawal = Statement(file, people, estate, "withdrawal")
        says = withdrawal.says
        if (withdrawal.subject, says["app"], says["audience"]) == (request.subject, app, audience):
            dead = max(dead, says["through_serial"])
    if asked["serial"] <= dead:
        raise Wrong(f"the permit was withdrawn (through serial {dead})")
    now = datetime.now(timezone.utc)
    if not moment(asked["not_before"]) <= now < moment(asked["not_after"]):
        raise Wrong(f"the permit holds from {asked['not_before']} until {asked['not_after']}")
    print(f"whole: {app}@{version} may be activated in {audience} until {asked['not_after']}")
    print(f"build     {request.subject}")
    print(f"requested by {', '.join(sorted(request.by))}; pushed by {', '.join(sorted(push.by))}")
    for name in sorted(agreed):
        print(f"approved by {name} ({', '.join(sorted(people.roles[name]))})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estate", required=True, help="the digest of the first root, from elsewhere")
    parser.add_argument("--build", type=pathlib.Path, help="a manifest to compare with the permit")
    arguments = parser.parse_args()
    try:
        check(arguments.estate, arguments.build)
    except Exception as error:  # whatever is wrong with these files, they prove nothing
        print(f"not whole: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
