"""Access to the collector: who a caller is by its token or its certificate, and what it may write
and read.

Three ways, chosen by `--auth`:

* token-file: one token in a file of the owner's (0600), as on one machine: whoever can read the file may do everything.
* kubernetes: a service account's token for the audience `fairway-collector`, or its certificate (`spiffe`), which
  `Authority` asks the API server about. A server's pod writes predictions of its own revision; labels and outcomes are
  a role's (`create modeldeployments/labels`), and so are other servers' payloads (`/payloads`); reading is another's
  (`get modeldeployments/evidence`).
* none: everybody may do everything: for a network that is itself closed.

Verdicts are kept for a bounded time, so a token that is withdrawn counts on for up to
`KEEP_SECONDS`.
"""

import functools
import hashlib
import hmac
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from fairway import errors, tls

AUDIENCE = "fairway-collector"
KEEP_SECONDS = 60.0  # a verdict of the API server; every server asks once a minute at most
REFUSED_SECONDS = 5.0  # a refusal is forgotten sooner: a role that was just given should count
KEPT = 4096  # verdicts; the oldest is forgotten first
LONGEST_TOKEN = 16_384  # characters: a service account's has about a thousand
# deployments that one batch may be about: each may be a question to the API server
ACTS_AT_ONCE = 20

Kind = Literal["prediction", "label", "outcome", "evidence", "inputs", "conclusions", "payload"]
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Unauthenticated(errors.Permanent):
    """The token or the certificate is missing or is nobody's."""


class Denied(errors.Permanent):
    """The caller is known and may not."""


class Act(NamedTuple):
    """What is to be done with the evidence of a deployment."""

    kind: Kind
    namespace: str
    deployment: str
    revision: str = ""  # of a prediction


class Workload(NamedTuple):
    """Whose certificate it is, and the pod that the caller says it is, with the address that it
    comes from; both empty where it names none."""

    namespace: str
    account: str
    pod: str = ""
    address: str = ""


Proof = str | Workload  # a token, or what a certificate says


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Whose token or certificate it is."""

    name: str
    serves: Act | None = None  # the predictions that it may write, where it is a model server's
    # as `Authority` knows it
    subject: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Authority(Protocol):
    """The API server, as far as access needs it. Raises Temporary where it cannot be asked."""

    def identify(self, proof: Proof) -> Principal | None:
        """Return the caller; None where the token is nobody's or not for us, or the pod is not the
        caller's."""

    def allows(self, caller: Principal, act: Act) -> bool:
        """Say whether the caller's roles allow the act."""


class Access(Protocol):
    """One way to tell callers apart."""

    def remembered(self, proof: Proof | None) -> Principal | None:
        """Return the caller where nobody has to be asked, else None; raise Unauthenticated for a
        proof that is known to be nobody's."""

    def met(self, proof: Proof | None) -> bool:
        """Say whether the proof was somebody's when it was last asked about."""

    def caller(self, proof: Proof | None) -> Principal:
        """Return the caller; raise Unauthenticated for a proof that is nobody's."""

    def unknown(self, caller: Principal, acts: Iterable[Act]) -> list[Act]:
        """Return the acts that somebody has to be asked about; raise Denied for one that the caller
        is known not to be allowed."""

    def permit(self, caller: Principal, acts: Iterable[Act]) -> None:
        """Raise Denied unless the caller may do all of it."""


class Open:
    """Everybody may do everything."""

    def remembered(self, proof: Proof | None) -> Principal:
        return self.caller(proof)

    def met(self, proof: Proof | None) -> bool:
        return True

    def caller(self, proof: Proof | None) -> Principal:
        return Principal(name="anybody")

    def unknown(self, caller: Principal, acts: Iterable[Act]) -> list[Act]:
        return []

    def permit(self, caller: Principal, acts: Iterable[Act]) -> None:
        return


class OwnersToken:
    """Whoever has the file's token may do everything; the file is read at each request, so a new
    token counts at once."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def remembered(self, proof: Proof | None) -> None:
        return None

    def met(self, proof: Proof | None) -> bool:
        return True

    def caller(self, proof: Proof | None) -> Principal:
        try:
            wanted = self._file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Unavailable(
                f"the token file {self._file} cannot be read ({error}): wanted one that this process may read"
            ) from error
        if not wanted:
            raise errors.Unavailable(
                f"the token file {self._file} is empty: delete it, and start the collector again"
            )
        if not isinstance(proof, str) or not hmac.compare_digest(proof.encode(), wanted.encode()):
            raise Unauthenticated(
                f"{_seen(proof)}: wanted the token in {self._file} as `Authorization: Bearer TOKEN`; programs of its "
                f"owner may read it"
            )
        return Principal(name="the owner")

    def unknown(self, caller: Principal, acts: Iterable[Act]) -> list[Act]:
        return []

    def permit(self, caller: Principal, acts: Iterable[Act]) -> None:
        return


class Reviewed:
    """Callers and their rights as an authority has them, each asked once and kept for a while."""

    def __init__(self, authority: Authority, *, clock: Callable[[], float]) -> None:
        self._authority = authority
        self._callers: Kept[bytes, Principal | None] = Kept(clock)
        self._rights: Kept[tuple[str, Act], bool] = Kept(clock)

    def remembered(self, proof: Proof | None) -> Principal | None:
        given = _whole(proof)
        known = self._callers.get(_fingerprint(given))
        return _somebody(known.value, given) if known else None

    def met(self, proof: Proof | None) -> bool:
        return self._callers.held(_fingerprint(_whole(proof)))

    def caller(self, proof: Proof | None) -> Principal:
        given = _whole(proof)
        return _somebody(
            self._callers.get_or(_fingerprint(given), lambda: self._authority.identify(given)),
            given,
        )

    def unknown(self, caller: Principal, acts: Iterable[Act]) -> list[Act]:
        acts = list(acts)
        if sum(act.kind != "prediction" for act in acts) > ACTS_AT_ONCE:
            raise errors.DataError(
                f"the batch is about more than {ACTS_AT_ONCE} deployments: send those of fewer at once; nothing was "
                f"stored"
            )
        return [act for act in acts if not self._allowed(caller, act)]

    def permit(self, caller: Principal, acts: Iterable[Act]) -> None:
        for act in self.unknown(caller, acts):
            ask = functools.partial(self._authority.allows, caller, act)
            _need(self._rights.get_or((caller.name, act), ask), caller, act)

    def _allowed(self, caller: Principal, act: Act) -> bool:
        """Say whether the caller is known to be allowed the act; raise Denied where it is known not
        to be."""
        if act.kind == "prediction":
            _own(caller, act)
            return True
        known = self._rights.get((caller.name, act))
        if known:
            _need(known.value, caller, act)
        return known is not None


# kind of act -> verb and resource that a role names
RIGHTS: Mapping[Kind, tuple[str, str]] = {
    "label": ("create", "modeldeployments/labels"),
    "outcome": ("create", "modeldeployments/outcomes"),
    "evidence": ("get", "modeldeployments/evidence"),
    "inputs": ("get", "modeldeployments/inputs"),
    "conclusions": ("create", "modeldeployments/conclusions"),
    "payload": ("create", "modeldeployments/payloads"),
}


@dataclass(frozen=True)
class Remembered(Generic[Value]):
    """What was answered, and until when that counts."""

    value: Value
    until: float


class Kept(Generic[Key, Value]):
    """Verdicts kept for a bounded time, and a bounded number of them; any number of threads may
    ask.

    Refusals (false, None) are kept apart, and for a shorter time: however many tokens are made up,
    they push out none that is somebody's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Remembered[Value]] = OrderedDict()
        self._refused: OrderedDict[Key, Remembered[Value]] = OrderedDict()

    def get(self, key: Key) -> Remembered[Value] | None:
        """Return the verdict that counts still."""
        with self._lock:
            found = self._held.get(key) or self._refused.get(key)
            return found if found and self._clock() < found.until else None

    def held(self, key: Key) -> bool:
        """Say whether the last verdict was no refusal, although it may count no more."""
        with self._lock:
            return key in self._held

    def get_or(self, key: Key, ask: Callable[[], Value]) -> Value:
        """Return what is kept, else what `ask` gives."""
        known = self.get(key)
        if known:
            return known.value
        found = ask()
        with self._lock:
            self._held.pop(key, None)
            self._refused.pop(key, None)
            kept, seconds = (
                (self._held, KEEP_SECONDS) if found else (self._refused, REFUSED_SECONDS)
            )
            kept[key] = Remembered(found, self._clock() + seconds)
            while len(kept) > KEPT:
                kept.popitem(last=False)
        return found


def make_token_file(file: Path) -> Path:
    """Make the file with a new token where it is missing, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secrets.token_urlsafe(32) + "\n")
    try:
        # whole or not at all, and never over one that another process has made
        os.link(fresh, file)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return file


def authorization(file: Path | None) -> dict[str, str]:
    """Return the header that the token in a file makes; the file is read each time, for tokens are
    replaced while they are used."""
    if file is None:
        return {}
    try:
        return {"authorization": f"Bearer {file.read_text(encoding='ascii').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Unavailable(
            f"the token for the collector cannot be read from {file} ({error}): wanted a file with a token"
        ) from error


def _own(caller: Principal, act: Act) -> None:
    if caller.serves == act:
        return
    if caller.serves is None:
        raise Denied(
            f"{caller.name} is no model server of fairway's: predictions are written by the pods of a "
            f"ModelDeployment alone"
        )
    its = caller.serves
    raise Denied(
        f"{caller.name} serves revision {its.revision} of {its.namespace}/{its.deployment}, and may not write "
        f"predictions of "
        f"revision {act.revision} of {act.namespace}/{act.deployment}"
    )


def _need(allowed: bool, caller: Principal, act: Act) -> None:
    if allowed:
        return
    verb, resource = RIGHTS[act.kind]
    raise Denied(
        f"{caller.name} may not {verb} {resource} of {act.namespace}/{act.deployment or '*'}: wanted a Role in "
        f"namespace "
        f"{act.namespace} that allows {verb} on {resource}.fairway.dev"
    )


def _whole(proof: Proof | None) -> Proof:
    if not proof or (isinstance(proof, str) and len(proof) > LONGEST_TOKEN):
        raise Unauthenticated(f"{_seen(proof)}: {_wanted()}")
    return proof


def _somebody(caller: Principal | None, proof: Proof) -> Principal:
    if caller is not None:
        return caller
    if isinstance(proof, str):
        raise Unauthenticated(f"{_seen(proof)}: {_wanted()}")
    raise Unauthenticated(
        f"{tls.POD_HEADER} is {proof.pod}: wanted a running pod of namespace {proof.namespace} with the certificate's "
        f"service account {proof.account} and, for itself alone, the address that you come from, {proof.address}"
    )


def _fingerprint(proof: Proof) -> bytes:
    return hashlib.sha256((proof if isinstance(proof, str) else "\0".join(proof)).encode()).digest()


def _seen(proof: Proof | None) -> str:
    return "the token is unknown" if proof else "the token is missing"


def _wanted() -> str:
    return f"wanted `Authorization: Bearer TOKEN` with a service account's token for audience {AUDIENCE}"
