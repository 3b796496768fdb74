"""`hf:owner/name[/path][@revision]`: models and data of the Hugging Face hub, by their names.

Everything goes through the package `huggingface_hub`, which is imported where such a name is
written and not before: its cache, its offline mode, its address and its token are used as they are.
Of a model only safetensors and texts are fetched, of data only what holds data: nothing that runs.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Literal

from demist.errors import (
    DataError,
    MissingError,
    RefusedError,
    TryAgainError,
    UsageError,
)
from demist.machine.packages import require_packages

PREFIX = "hf:"
Kind = Literal["model", "dataset"]

TEXTS = (".json", ".txt", ".md")
FILES: Mapping[Kind, tuple[str, ...]] = {
    "model": (".safetensors", *TEXTS),
    "dataset": (
        *TEXTS, ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".npz", ".npy", ".gz", ".tar",
        ".zip", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ),
}  # fmt: skip
"""Endings of what is fetched; all else stays where it is."""

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")

UNUSED = ("safety_checker/", "feature_extractor/")
"""Folders of a model that no part here reads."""

_WORD = r"[A-Za-z0-9](?:[\w.-]*\w)?"
_NAME = re.compile(rf"({_WORD}/{_WORD})((?:/[^/@]+)*)(?:@([\w./-]+))?")
_VARIANT = re.compile(r"\.[A-Za-z]\w*(?=(?:-\d+-of-\d+)?\.safetensors$)")
_CACHED = re.compile(r"(models|datasets)--(.+)--(.+)")


@dataclass(frozen=True)
class Named:
    """What such a name says.

    Attributes:
        repo: "owner/name".
        path: Of a file or folder in it; "" for all of it.
        revision: A branch, a tag or a commit; None: the main one.
    """

    repo: str
    path: str
    revision: str | None

    def __str__(self) -> str:
        """The name."""
        after = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repo}{f'/{self.path}' if self.path else ''}{after}"


def is_named(spec: str) -> bool:
    """Whether somebody wrote a name of the hub."""
    return spec.startswith(PREFIX)


def parse(spec: str) -> Named:
    """The parts of a name.

    Raises:
        UsageError: It is none.
    """
    found = _NAME.fullmatch(spec.removeprefix(PREFIX))
    if not is_named(spec) or found is None or ".." in spec:
        raise UsageError(f"{spec!r} is no name of the hub; write hf:owner/name or hf:owner/name@v1")
    return Named(found[1], found[2].removeprefix("/"), found[3])


@lru_cache(maxsize=64)
def fetched(spec: str, kind: Kind) -> Path:
    """Where the files of a name are, after fetching what the cache has not.

    Args:
        spec: `hf:owner/name[/path][@revision]`.
        kind: A model, or data.

    Returns:
        A folder in the cache of `huggingface_hub`, whose name is the commit; or what lies at the
        path in it; or the one file of weights of a model that is nothing else.

    Raises:
        UsageError: It is no name.
        MissingError: There is no such repository, revision or path, or no huggingface_hub.
        RefusedError: One may not read it.
        TryAgainError: The hub cannot be reached, and the cache has it not.
        DataError: There is nothing in it that may be fetched.
    """
    named, library = parse(spec), _library(spec)
    place = _from_hub(library, named, kind)
    if named.path:
        place = place / named.path
        if not place.exists():
            raise MissingError(f"{spec}: there is no {named.path!r} in it that may be fetched")
    elif kind == "model" and not any((place / n).is_file() for n in _CONFIGS):
        weights = sorted(place.glob("*.safetensors"))
        place = weights[0] if len(weights) == 1 else place
    return place


_CONFIGS = ("model_index.json", "config.json", "adapter_config.json")


def local(spec: str) -> Path:
    """The file or folder of a model: fetched if it is named on the hub, else what is written.

    Raises:
        As `fetched`.
    """
    return fetched(spec, "model") if is_named(spec) else Path(spec)


def pinned(spec: str, kind: Kind) -> str:
    """The name with the commit that its revision is now, so that it means the same later.

    Raises:
        As `fetched`.
    """
    named = parse(spec)
    place = fetched(spec, kind)
    origin = origin_of(place)
    commit = origin.rpartition("@")[2] if origin else named.revision
    return str(Named(named.repo, named.path, commit))


def origin_of(place: Path) -> str | None:
    """The name, with its commit, of what lies in the cache; None of any other place."""
    for folder in (place, *place.parents):
        found = _CACHED.fullmatch(folder.parent.parent.name)
        if found and folder.parent.name == "snapshots":
            return f"{PREFIX}{found[2]}/{found[3]}@{folder.name}"
    return None


def title(place: Path) -> str:
    """What to call a folder or file: in the cache by its repository, else by its name."""
    origin = origin_of(place)
    return place.name if origin is None else parse(origin).repo.rpartition("/")[2]


def choose(names: Iterable[str], kind: Kind, path: str = "") -> list[str]:
    """Those files of a repository that are fetched.

    Args:
        names: All of them.
        kind: What it is. Of a model in components, single files beside it are left out, and a
            variant (`model.fp16.safetensors`) where there is the plain file.
        path: Only that file, or what lies below it.
    """
    safe = [
        n for n in names if not n.startswith("/") and "\\" not in n and ".." not in n.split("/")
    ]
    known = {n for n in safe if n.lower().endswith(FILES[kind])}
    if path:
        return sorted(n for n in known if n == path or n.startswith(f"{path}/"))
    if kind == "dataset":
        return sorted(known)
    plain = {re.sub(r"-\d+-of-\d+", "", n) for n in known if not _VARIANT.search(n)}
    whole = "model_index.json" in known

    def is_wanted(name: str) -> bool:
        if name.startswith(UNUSED) or (whole and "/" not in name and name.endswith(FILES[kind][0])):
            return False
        usual = re.sub(r"-\d+-of-\d+", "", _VARIANT.sub("", name))
        return not _VARIANT.search(name) or usual not in plain

    return sorted(filter(is_wanted, known))


def upload(folder: Path, spec: str, *, private: bool, message: str) -> str:
    """Put the files of a folder into a repository of models, which is made if it is not there.

    Args:
        folder: What goes there.
        spec: `hf:owner/name[@branch]`.
        private: Whether nobody else sees a new one.
        message: Of the commit.

    Returns:
        Where the commit is to be seen.

    Raises:
        UsageError: It is no such name.
        RefusedError: One may not write there, or is not logged in.
        TryAgainError: The hub cannot be reached.
    """
    named, library = parse(spec), _library(spec)
    if named.path:
        raise UsageError(f"{spec}: a model goes into all of a repository; write hf:{named.repo}")
    with _explained(library, named):
        api = library.HfApi()
        api.create_repo(named.repo, private=private, exist_ok=True)
        made = api.upload_folder(
            repo_id=named.repo, folder_path=folder, revision=named.revision, commit_message=message
        )
    return str(made.commit_url)


def _from_hub(library: ModuleType, named: Named, kind: Kind) -> Path:
    """The folder of a commit, with all that is wanted of it."""

    def local(only: bool, wanted: list[str]) -> Path:
        place = library.snapshot_download(
            named.repo, revision=named.revision, repo_type=kind, allow_patterns=wanted,
            local_files_only=only,
        )  # fmt: skip
        return Path(place)

    with _explained(library, named):
        try:
            info = library.HfApi().repo_info(
                named.repo, revision=named.revision, repo_type=kind, files_metadata=True
            )
        except Exception as error:
            if not _is_unreached(error):
                raise
            folder = local(True, [])
            warnings.warn(f"{named}: the hub was not asked; this is commit {folder.name[:12]}")
            return folder
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        wanted = choose(sizes, kind, named.path)
        if all(name.endswith(TEXTS) for name in wanted) and not named.path:
            pickles = sorted(name for name in sizes if name.endswith(PICKLES))
            more = f"; {pickles[0]} is a pickle, which is never fetched" if pickles else ""
            what = "safetensors" if kind == "model" else "data"
            raise DataError(f"{named} has no files of {what}{more}")
        total = sum(sizes[name] for name in wanted) / 1e6
        warnings.warn(
            f"{named} is commit {str(info.sha)[:12]}, {len(wanted)} files, {total:,.1f} MB; what "
            f"the cache has is not fetched again"
        )
        # A pattern: [ of a name would begin a set of letters.
        return local(False, [name.replace("[", "[[]") for name in wanted])


def _library(spec: str) -> ModuleType:
    require_packages(spec, ("huggingface_hub",), "hub")
    import huggingface_hub.errors

    return huggingface_hub


@contextmanager
def _explained(library: ModuleType, named: Named) -> Iterator[None]:
    """What the library raises, as one sentence of what helps."""
    errors = library.errors
    try:
        yield
    except errors.GatedRepoError:
        raise RefusedError(
            f"{named} is given to those who have accepted its terms: do so on its page, then log "
            f"in with `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise MissingError(f"{named}: there is no revision {named.revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise MissingError(
            f"there is no {PREFIX}{named.repo} that you may see; if it is private, log in with "
            f"`hf auth login`"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise TryAgainError(
            f"{named} is not in the cache, and the hub cannot be asked; go online, or say "
            f"HF_HUB_OFFLINE=0"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise RefusedError(f"{named}: the hub refuses that; `hf auth login` first") from None
        raise TryAgainError(f"{named}: the hub answers with error {status}") from None
    except Exception as error:
        if not _is_unreached(error):
            raise
        raise TryAgainError(f"{named}: the hub cannot be reached; try again later") from None


def _is_unreached(error: Exception) -> bool:
    """Whether nobody answered, in the words of whatever carries the requests."""
    carriers = ("httpx", "httpx2", "httpcore", "requests", "urllib3")
    return isinstance(error, ConnectionError | TimeoutError) or (
        type(error).__module__.partition(".")[0] in carriers
    )
