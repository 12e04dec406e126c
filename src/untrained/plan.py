"""The spaces, families of proxies and code of a run of the workflow, by its parameters."""

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from untrained.closure import code_digests, rule_digests
from untrained.files import BUNDLED, PUBLISHED, atomic, digest
from untrained.images.sets import IMAGE_SETS, SAMPLE, image_set
from untrained.parameters import Parameters
from untrained.plugins import Registry
from untrained.proxies import PROXIES
from untrained.report import EXPLORER_FILES, STYLE_FILE
from untrained.report import NAMES as REPORT_SECTIONS
from untrained.scoring.constraints import parse_constraint
from untrained.scoring.ensembles import ensembles_of, readings_of
from untrained.scoring.request import name_of
from untrained.scoring.shards import sample_of
from untrained.search import ALGORITHMS, parse_algorithm
from untrained.spaces import SPACES, SearchSpace, get_space

#: The folders of the digests of code and of bundled files, from the working directory.
CODE, BUNDLED_HERE = Path("results/code"), Path("data/bundled")

_OURS = "untrained.proxies."
_REPORT, _REPORT_SECTIONS = "untrained.report.build", "untrained.report.sections"
_PUBLISHED, _PLOTTING = "untrained.report.published", "untrained.report.plotting"
_EXPLORER = "untrained.report.explorer"


@dataclass(frozen=True)
class Plan:
    """The jobs that follow from the parameters of a run.

    Attributes:
        parameters: the checked parameters.
    """

    parameters: Parameters

    @cached_property
    def spaces(self) -> dict[str, SearchSpace]:
        """Return the search spaces by the names of their files, which commands take as well."""
        return {SPACES.file_name(name): get_space(name) for name in self.parameters.spaces}

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Return the families of proxies, each of which one job reads off the same networks.

        Members of ensembles are among them.

        A family has the proxies of one module, or all proxies that are read after training.
        """
        found: dict[str, list[str]] = {}
        for reading in readings_of(self.parameters.scores.proxies):
            proxy, trained = str(reading), "training" in reading.needs
            family = "trained" if trained else module_of_proxy(proxy).removeprefix(_OURS)
            found.setdefault(family, []).append(proxy)
        return found

    @property
    def scored(self) -> int:
        """Return the number of jobs of a shard of scores: space, data set, family and seed."""
        named = self.parameters
        datasets = sum(len(named.datasets_of(space)) for space in self.spaces)
        return datasets * len(self.families) * len(named.seeds)

    @cached_property
    def ensembles(self) -> list[str]:
        """Return the ensembles that tables of scores have rows of."""
        return [str(one) for one in ensembles_of(self.parameters.scores.proxies)]

    @cached_property
    def measured(self) -> list[str]:
        """Return the spaces with a benchmark; only these are searched and have a report."""
        return [name for name, space in self.spaces.items() if space.benchmark]

    @cached_property
    def ablated(self) -> list[str]:
        """Return the spaces with a benchmark and ablations."""
        return [name for name in self.measured if self.spaces[name].ablations]

    @cached_property
    def pruned(self) -> list[str]:
        """Return the spaces with a supernet and a benchmark; none if there are no seeds."""
        seeds = self.parameters.prunings.seeds
        return [name for name in self.measured if self.spaces[name].supernet and seeds]

    @cached_property
    def fitted(self) -> list[str]:
        """Return the spaces with fronts for devices: scores and costs of all come along."""
        costs = self.parameters.devices.costs
        known = self.spaces
        return [one for one in self.measured if known[one].devices and known[one].scores and costs]

    @cached_property
    def followed(self) -> list[str]:
        """Return the spaces with training curves; none if there are no seeds.

        A bundled sample of a benchmark is left out, since it lacks most of the cells drawn.
        """
        seeds = self.parameters.training_curves.seeds
        return [
            name
            for name, space in self.spaces.items()
            if seeds and not (space.benchmark and space.benchmark.bundled_sample)
        ]

    @cached_property
    def partly_known(self) -> list[str]:
        """Return the spaces whose benchmark table may lack some of the architectures."""
        return [
            name
            for name, space in self.spaces.items()
            if space.benchmark and space.benchmark.partial
        ]

    def search_options(self, algorithm: str) -> str:
        """Return those options of a search that not every algorithm uses, as words of a command."""
        settings = self.parameters.searches
        search, words = parse_algorithm(algorithm), []
        for name in ("proxy", "budget", "seconds_per_score"):
            if search.uses(name, settings.proxy):
                words += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
        return shlex.join(words)

    def searched_scores(self, space: str, algorithm: str) -> list[str]:
        """Return the file of the scores that a search of a space reads, if it does, in a list."""
        searches, known = self.parameters.searches, self.spaces[space]
        constrained = searches.where and parse_constraint(searches.where).reads_scores
        if not constrained and not parse_algorithm(algorithm).uses("scores", searches.proxy):
            return []
        shipped = self.shipped_scores(space) if searches.reading_shipped([known]) else []
        return shipped or [f"results/scores/{space}.parquet"]

    def shipped_scores(self, space: str) -> list[str]:
        """Return the file of the scores that come with a space, if any do, in a list."""
        path = self.spaces[space].scores
        return [] if path is None else [_bundled_here(path)]

    def devices_table(self, space: str) -> list[str]:
        """Return the file of the costs on devices that come with a space, if any do, in a list."""
        path = self.spaces[space].devices
        return [] if path is None else [_bundled_here(path)]

    def bundled_table(self, space: str) -> list[str]:
        """Return the bundled table of a space if the run reads it, in a list.

        With a mirror the run reads whole tables instead of bundled samples.
        """
        facts = self.spaces[space].benchmark
        mirrored = self.parameters.fetch.mirror is not None
        if facts is None or facts.bundled is None or (facts.bundled_sample and mirrored):
            return []
        return [_bundled_here(facts.bundled)]

    def bundled_images(self, dataset: str) -> list[str]:
        """Return the bundled images of a data set if networks are shown them, in a list."""
        known = image_set(dataset)
        if known.bundled is None or known.split(self.parameters.scores.split) != SAMPLE:
            return []
        return [_bundled_here(known.bundled)]

    def images_options(self, dataset: str) -> str:
        """Return the options that say where official images come from; none where none are read."""
        known, fetch = image_set(dataset), self.parameters.fetch
        if known.split(self.parameters.scores.split) == SAMPLE:
            return ""
        mirror = [] if fetch.mirror is None else ["--mirror", fetch.mirror]
        return shlex.join([*mirror, *["--allow-missing"] * fetch.allow_missing])

    @cached_property
    def _followed_cells(self) -> dict[str, list[int]]:
        curves = self.parameters.training_curves
        return {
            name: sample_of(self.spaces[name], curves.cells, curves.seed) for name in self.followed
        }

    def followed_cells(self, space: str, shard: int, shards: int) -> list[int]:
        """Return the architectures of a space in one shard of the training curves."""
        return self._followed_cells[space][shard::shards]

    def code(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield (name of a result, modules that compute it) for all jobs.

        Modules that these import count as well. Registries name their entries by address, which is
        no import, so the modules of spaces, proxies and algorithms are listed here.
        """
        parameters = self.parameters
        ablated = module_of_proxy(parameters.ablations.proxy)
        curves = [*map(module_of_proxy, parameters.training_curves.proxies)]
        for dataset in parameters.datasets:
            known = image_set(dataset)
            own = IMAGE_SETS.module_of(dataset)
            fetched = "untrained.images.fetch", "untrained.images.splits", module_at(known.fetch)
            yield f"images/{dataset}", (*fetched, own)
            yield f"minibatches/{dataset}", (own, *([module_at(known.draw)] if known.draw else []))
        if self.ensembles:
            yield "scores/merged", ("untrained.scoring.ensembles",)
        for name, space in self.spaces.items():
            own = SPACES.module_of(name)
            for family, proxies in self.families.items():
                read = map(module_of_proxy, proxies)
                yield f"scores/{name}/{family}", ("untrained.scoring.shards", own, *read)
            yield f"training_curves/{name}", ("untrained.scoring.training_curves", own, *curves)
            if space.supernet is not None:
                yield f"prunings/{name}", ("untrained.search.pruning", space.supernet, own)
            facts = space.benchmark
            if facts is None:
                continue
            makers = filter(None, [facts.fetch, facts.converter])
            yield f"benchmarks/{name}", ("untrained.benchmarks.fetch", *makers)
            for algorithm in parameters.searches.algorithms:
                searched = module_of_algorithm(algorithm)
                yield f"searches/{name}/{algorithm}", ("untrained.search.run", own, searched)
            if space.devices and space.scores:
                yield f"devices/{name}", ("untrained.search.device_fronts", own)
            if space.ablations:
                yield f"ablations/{name}", ("untrained.scoring.ablations", own, ablated)
        for name in REPORT_SECTIONS:
            yield f"report/{name}", (_REPORT, f"{_REPORT_SECTIONS}.{name}")
        yield "report/page", (_REPORT,)
        # spaces draw their architectures
        yield "report/explorer", (_EXPLORER, *map(SPACES.module_of, self.spaces))

    def write_code(self, rules: Path) -> list[str]:
        """Write the digests of the code of all jobs and of the rules, and return the files.

        Published figures, the style of figures and the files of the interactive page count as code
        of the modules that read them, and so does what proxies, searches, spaces and data sets of
        the run say of themselves, for searches and reports: they read it by name, which is no
        import. A file is written only if its content changes, so that changes of comments and
        docstrings make nothing stale.

        Args:
            rules: the folder of the rules.
        """
        digests = {name: code_digests(*modules) for name, modules in self.code()}
        digests |= {f"rules/{name}": found for name, found in rule_digests(rules).items()}
        beside = {
            module: {path.name: digest(path, "sha256") for path in paths}
            for module, paths in (
                (_PUBLISHED, sorted(PUBLISHED.glob("*.csv"))),
                (_PLOTTING, [STYLE_FILE]),
                (_EXPLORER, EXPLORER_FILES),
            )
        }
        described = self._described()
        for stage in ("ablations", "benchmarks", "devices", "prunings", "searches"):
            # DVC needs the folder even if no space has such a stage
            (CODE / stage).mkdir(parents=True, exist_ok=True)
        written = []
        for name, found in digests.items():
            for module, files in beside.items():
                found |= files if module in found else {}
            if name.startswith("report/"):
                found |= described
            if name.startswith("searches/"):
                own = _of_algorithm(name.split("/", 2)[2])
                found |= {
                    entry: said
                    for entry, said in described.items()
                    if entry == own or not entry.startswith(ALGORITHMS.kind)
                }
            path = CODE / f"{name}.json"
            text = json.dumps(found, indent=1) + "\n"
            if not path.is_file() or path.read_text() != text:
                with atomic(path) as part:
                    part.write_text(text)
            written.append(str(path))
        return written

    def _described(self) -> dict[str, str]:
        """Return digests of what each entry of a registry that the run names says of itself."""
        named = self.parameters
        proxies = [
            *map(str, readings_of([*named.scores.proxies, named.searches.proxy])),
            *(*named.training_curves.proxies, named.ablations.proxy),
        ]
        entries: list[tuple[Registry[Any], Any]] = [
            *((PROXIES, PROXIES.load(name_of(one))) for one in proxies),
            *((ALGORITHMS, ALGORITHMS.load(_head(one))) for one in named.searches.algorithms),
            *((SPACES, type(space)) for space in self.spaces.values()),
            *((IMAGE_SETS, image_set(name)) for name in named.datasets),
        ]
        found = {}
        for registry, entry in entries:
            said = {name: getattr(entry, name, None) for name in registry.attributes}
            # methods and properties are code
            words = {
                name: _spelled(one) for name, one in said.items() if not hasattr(one, "__get__")
            }
            text = json.dumps(words).replace(str(BUNDLED.parent), "")  # the same in every checkout
            found[f"{registry.kind} {entry.name}"] = hashlib.sha256(text.encode()).hexdigest()
        return found


def _spelled(value: object) -> str:
    """Spell a value in one way; the order of a set's members is not always the same."""
    return repr(sorted(value) if isinstance(value, set | frozenset) else value)


def _of_algorithm(spelling: str) -> str:
    """Return what the description of a spelled search algorithm is called."""
    return f"{ALGORITHMS.kind} {ALGORITHMS.load(_head(spelling)).name}"


def _head(algorithm: str) -> str:
    """Return the name of a spelled search algorithm."""
    return algorithm.partition("+")[0].partition("-")[0]


def _bundled_here(path: Path) -> str:
    """Return the path of a bundled file, from the working directory if it is a checkout."""
    here = BUNDLED_HERE / path.name
    return str(here if here.exists() else path)


def module_at(address: str) -> str:
    """Return the module of an address, `package.module:attribute`."""
    return address.partition(":")[0]


def module_of_proxy(spelling: str) -> str:
    """Return the module of a spelled proxy."""
    return PROXIES.module_of(name_of(spelling))


def module_of_algorithm(spelling: str) -> str:
    """Return the module of a spelled search algorithm."""
    return ALGORITHMS.module_of(_head(spelling))
