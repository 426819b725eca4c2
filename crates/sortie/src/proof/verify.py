#!/usr/bin/env python3
"""Checks an exported permit without Sortie, by other people's libraries: tuf, securesystemslib and cryptography.

    python3 -m venv checks && checks/bin/pip install tuf cryptography
    checks/bin/python verify.py --estate sha256:DIGEST [--build FILE]

The estate is the digest of the first root of trust. It must come from somewhere else than this folder, or nothing is
proved: `sortie whoami` prints it. With --build the digest of a manifest is compared with the one the permit is for.

A permit is whole when the owners' documents have not expired, everything that the charter and the request ask for is
signed by distinct people, evidence of every kind the charter wants is there, nothing withdrew it, and its time has come
and is not over. What belongs to the moment of a deployment is not a permit's: freezes, windows, floors, and what a
target remembers. Needs Python 3.11.

Exit 0: the permit is whole. Exit 1: it is not, and why. Exit 3: nothing is wrong with what is here, but something that
counts cannot be judged from these files; each such thing is said after "not checked:".
"""

import argparse
import base64
import hashlib
import itertools
import json
import pathlib
import sys
import tomllib
from datetime import datetime, timedelta, timezone

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
WHOLE, NOT_WHOLE, NOT_CHECKED = 0, 1, 3
# How far ahead the clock of whoever issued evidence may be.
CLOCK_MARGIN = timedelta(minutes=10)


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
    for document in root.signed, targets.signed:
        if document.is_expired():
            raise Wrong(f"{document.type} {document.version} expired at {document.expires}: owners must sign a new one")
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
        self.upheld = charter.get("upheld", [])
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
        self.upheld = [entry for entry in self.upheld if entry["person"] != name]

    def upheld_for(self, statement):
        """Whom owners let count for this one statement though they left: person, roles and key."""
        for entry in self.upheld:
            if statement in entry["statements"]:
                yield entry["person"], set(entry.get("roles", [])), charter_key(entry["key"])


class Statement:
    """A signed statement: what it says, and who of the charter genuinely signed it, with the roles that count for it."""

    def __init__(self, file, people, estate, kind):
        if not file.exists():
            raise Wrong(f"{file.name} is missing")
        written = json.loads(file.read_text(), object_pairs_hook=once)
        envelope = Envelope.from_dict(json.loads(file.read_text()))
        if envelope.payload_type != PAYLOAD_TYPE:
            raise Wrong(f"{file.name} is no in-toto statement")
        said = json.loads(envelope.payload, object_pairs_hook=once)
        self.file = file.name
        self.kind = said["predicateType"].removeprefix("https://sortie.dev/").removesuffix("/v1")
        self.payload = digest(envelope.payload)
        self.says = said["predicate"]
        (subject,) = said["subject"]
        self.subject = "sha256:" + subject["digest"]["sha256"]
        if self.kind != kind:
            raise Wrong(f"{file.name} is a {self.kind}")
        if self.says["estate"] != estate:
            raise Wrong(f"{file.name} is of another estate")
        # An approval is upheld by the name of the request it approves, everything else by its own.
        upheld = list(people.upheld_for(self.subject if kind == "approval" else self.payload))
        submit_before = moment(self.says["submit_before"])
        # A signature with a proof counts as its proof says, and never as its key's alone.
        proved = {signature["keyid"] for signature in written["signatures"] if "proof" in signature}
        robots = {key.keyid: (robot, key) for robot, key in people.job_keys(written, submit_before)}
        keys = {keyid: key for keyid, key in people.keys.items() if keyid not in proved}
        keys |= {key.keyid: key for _, _, key in upheld if key.keyid not in proved}
        self.name = people.name | {key.keyid: person for person, _, key in upheld}
        try:
            signed = envelope.verify([*keys.values(), *(key for _, key in robots.values())], 1)
        except VerificationError:
            raise Wrong(f"{file.name}: nobody of the charter signed this") from None
        self.keys = {keyid for keyid in signed if keyid not in robots}
        self.by = {robots[keyid][0] if keyid in robots else self.name[keyid] for keyid in signed}
        self.roles = {person: set(people.roles.get(person, ())) for person in self.by}
        for person, roles, _ in upheld:
            if person in self.by:
                self.roles[person] |= roles

    def alone(self, rule):
        """Whether one of those who signed satisfies a rule alone."""
        return any(met(rule, {person: self.roles[person]}) for person in self.by)


def numbered(statements, name):
    """The files of one kind, in the order in which they were exported."""
    return sorted(statements.glob(f"{name}-*.dsse.json"), key=lambda file: int(file.name.split(".")[0].split("-")[-1]))


def those_that_count(statements, kind, people, estate, passed_over):
    """The statements of one kind that somebody of the charter signed; the others count for nothing."""
    found = []
    for file in numbered(statements, "suspension" if kind == "administration" else kind):
        try:
            found.append(Statement(file, people, estate, kind))
        except Wrong as why:
            passed_over.append(str(why))
    return found


def places(alternative):
    """The roles that an alternative of a rule wants somebody in, one for each person."""
    for part in alternative.split(" and "):
        words = part.split()
        count, role = (int(words[0]), words[1]) if len(words) == 2 else (1, words[0])
        yield from [role] * count


def roles_in(rule):
    return {role for alternative in rule.split(" or ") for role in places(alternative)}


def met(rule, roles_of):
    """Whether distinct people fill every place of a rule such as "qa and 2 ops or owner"."""
    for alternative in rule.split(" or "):
        wanted = list(places(alternative))
        people = list(roles_of)
        for seats in itertools.permutations(people, len(wanted)):
            if all(role in roles_of[person] for person, role in zip(seats, wanted)):
                return True
    return False


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def broken(wanted, says):
    """The first condition of a gate that a piece of evidence does not meet."""
    for condition in wanted.split(" and "):
        words = condition.split()
        if words == ["passed"]:
            if not says["passed"]:
                return "it says that it failed"
            continue
        name, comparison, value = words[0], words[1], int(words[2])
        found = says.get("facts", {}).get(name)
        if found is None:
            return f"it does not say {name}"
        if not {"=": found == value, "<=": found <= value, ">=": found >= value}[comparison]:
            return f"{condition} does not hold: {name} is {found}"
    return None


def judge(gate, pieces, pushers, now):
    """Why a gate's evidence does not suffice, if it does not: the newest by anybody who may issue it decides."""
    gate = {"from": gate} if isinstance(gate, str) else gate
    kind = gate.get("predicate")
    counted = [
        piece
        for piece in pieces
        if piece.alone(gate["from"])
        and (gate.get("pusher", True) or not piece.by & pushers)
        and (kind is None or piece.says.get("predicate") == kind)
    ]
    if not counted:
        return "there is none by anybody who may issue it"
    issued = lambda piece: moment(piece.says["issued"]) if piece.says.get("issued") else None
    order = lambda at: (issued(counted[at]) or datetime.min.replace(tzinfo=timezone.utc), at)
    newest = counted[max(range(len(counted)), key=order)]
    if why := broken(gate.get("pass", "passed"), newest.says):
        return why
    if days := gate.get("max_age_days"):
        age = now - issued(newest) if issued(newest) else None
        if age is None or age > timedelta(days=days) or age < -CLOCK_MARGIN:
            return f"it is more than {days} days old, or does not say when it was issued"
    return None


def origin(statements, people, estate, charter, request, unchecked):
    """Who made the build: whoever pushed it, and whom they name as makers. Checks push and number on the way."""
    app, version = request.says["app"], request.says["version"]
    application = charter.get("applications", {}).get(app, {})
    if vendor := application.get("vendor"):
        unchecked.append(f"the release by {vendor}, who makes {app}: it stands in for push and number, and is not here")
        return set()
    push, number = (Statement(statements / f"{kind}.dsse.json", people, estate, kind) for kind in ("push", "number"))
    if len({push.subject, number.subject, request.subject}) != 1:
        raise Wrong("push, number and request are about different builds")
    if (number.says["app"], number.says["version"]) != (app, version) or push.says["app"] != app:
        raise Wrong("push and number are of something else than was asked for")
    may_push = application.get("push") or charter.get("push", "developer or ci or owner")
    for statement in push, number:
        if not statement.alone(may_push):
            raise Wrong(f"the {statement.kind} is by nobody who may push {app}")
    return push.by | set(push.says.get("makers", []))


def terms_of(place, asked):
    """What the charter says of the way by which the release was asked for: the rule, what it waives, and the way."""
    if asked["way"] == "normal":
        return place.get("approve"), set(), {}
    way = place.get("ways", {}).get(asked["way"])
    if way is None:
        raise Wrong(f"the charter has no way {asked['way']} for {asked['audience']}")
    if moment(asked["not_after"]) - moment(asked["not_before"]) > timedelta(hours=way["hours"]):
        raise Wrong(f"its permit lives longer than {way['hours']} hours, which is the longest by {asked['way']}")
    if not asked.get("reason"):
        raise Wrong(f"{asked['way']} gives no reason")
    return way["approve"], set(way.get("waives", [])), way


def withdrawn_through(statements, everyone, estate, charter, place, request, passed_over):
    """The last serial that is dead: by anybody whom the audience asks or lets deploy, unless owners annulled it."""
    rules = [place.get("approve"), place.get("deploy"), *(way["approve"] for way in place.get("ways", {}).values())]
    may = {"owner"}.union(*(roles_in(rule) for rule in rules if rule))
    dead = 0
    for withdrawal in those_that_count(statements, "withdrawal", everyone, estate, passed_over):
        says = withdrawal.says
        about = (withdrawal.subject, says["app"], says["audience"])
        if about != (request.subject, request.says["app"], request.says["audience"]):
            continue
        if withdrawal.payload in charter.get("annulled", []):
            passed_over.append(f"{withdrawal.file}: owners annulled it")
        elif any(roles & may for roles in withdrawal.roles.values()):
            dead = max(dead, says["through_serial"])
        else:
            passed_over.append(f"{withdrawal.file}: {', '.join(sorted(withdrawal.by))} may not withdraw from here")
    return dead


def check(estate, build_file):
    root, charter = documents(estate)
    # Suspending somebody does not bring back what they took, so withdrawals are judged by all that the charter lists.
    everyone, people = People(root, charter), People(root, charter)
    statements = HERE / "statements"
    unchecked, passed_over = [], []
    for suspension in those_that_count(statements, "administration", everyone, estate, passed_over):
        act = suspension.says["act"]
        if act["type"] == "suspend-person" and suspension.by & (people.owners | {act["person"]}):
            people.forget(act["person"])
    request = Statement(statements / "request.dsse.json", people, estate, "request")
    asked = request.says
    app, version, audience = asked["app"], asked["version"], asked["audience"]
    place = charter.get("environments", {}).get(audience) or charter.get("channels", {}).get(audience)
    if place is None:
        raise Wrong(f"the charter has no audience {audience}")
    makers = origin(statements, people, estate, charter, request, unchecked)
    if build_file and digest(build_file.read_bytes()) != request.subject:
        raise Wrong(f"{build_file} is another build than the permit is for")

    rule, waives, way = terms_of(place, asked)
    approvals = those_that_count(statements, "approval", people, estate, passed_over)
    by, roles_of = {}, {}
    for approval in approvals:
        if approval.subject == request.payload:
            for key in approval.keys:
                person = approval.name[key]
                by[key] = person
                roles_of.setdefault(person, set()).update(approval.roles[person])
    if place.get("hardware", False):
        devices = {key.keyid for _, _, key in people.upheld_for(request.payload) if isinstance(key, SecurityKey)}
        by = {key: person for key, person in by.items() if key in people.in_hardware | devices}
    agreed = set(by.values()) - people.robots
    live = "class" not in place or place["class"] == "live"
    if live and not place.get("approve_own", False) and not way.get("approve_own", False):
        agreed -= makers | request.by
    roles_of = {person: roles for person, roles in roles_of.items() if person in agreed}
    for wanted in asked["requires"], rule:
        if wanted and not met(wanted, roles_of):
            who = ", ".join(sorted(agreed)) or "nobody"
            why = "".join(f"; {what}" for what in passed_over)
            raise Wrong(f"{audience} needs {wanted}, and those who agreed are {who}{why}")

    dead = withdrawn_through(statements, everyone, estate, charter, place, request, passed_over)
    if asked["serial"] <= dead:
        raise Wrong(f"the permit was withdrawn (through serial {dead})")
    now = datetime.now(timezone.utc)
    if not moment(asked["not_before"]) <= now < moment(asked["not_after"]):
        raise Wrong(f"the permit holds from {asked['not_before']} until {asked['not_after']}")

    found = those_that_count(statements, "evidence", people, estate, passed_over)
    about_it = [piece for piece in found if piece.subject == request.subject and piece.says["app"] == app]
    shown = []
    for kind, gate in place.get("evidence", {}).items():
        why = judge(gate, [piece for piece in about_it if piece.says["kind"] == kind], makers, now)
        if why and f"evidence:{kind}" not in waives:
            raise Wrong(f"{audience} asks for evidence of type {kind}: {why}")
        shown.append(f"evidence  {kind}: " + (f"waived by {asked['way']}" if why else "as the charter wants it"))
    if (before := place.get("after")) and "after" not in waives:
        unchecked.append(f"whether it was found well in {before} before: Sortie's ledger shows it, and no signature here")

    whole = f"the permit of {app}@{version} for {audience} holds until {asked['not_after']}"
    print(f"as far as it was checked, {whole}" if unchecked else f"whole: {whole}")
    print(f"build     {request.subject}")
    made = f"; pushed by {', '.join(sorted(makers))}" if makers else ""
    print(f"requested by {', '.join(sorted(request.by))}{made}")
    if way:
        reach = ", ".join(way.get("targets", [])) or "every target"
        print(f"by {asked['way'].upper()}: waives {', '.join(sorted(waives)) or 'nothing'}; reaches {reach}")
    for name in sorted(agreed):
        print(f"approved by {name} ({', '.join(sorted(roles_of[name]))})")
    for line in [*shown, *(f"passed over: {what}" for what in passed_over)]:
        print(line)
    for what in unchecked:
        print(f"not checked: {what}")
    return NOT_CHECKED if unchecked else WHOLE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estate", required=True, help="the digest of the first root, from elsewhere")
    parser.add_argument("--build", type=pathlib.Path, help="a manifest to compare with the permit")
    arguments = parser.parse_args()
    try:
        return check(arguments.estate, arguments.build)
    except Exception as error:  # whatever is wrong with these files, they prove nothing
        print(f"not whole: {error}", file=sys.stderr)
        return NOT_WHOLE


if __name__ == "__main__":
    sys.exit(main())
