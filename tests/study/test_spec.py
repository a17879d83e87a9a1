from itertools import product
from pathlib import Path

import pytest

import fa_audit
from fa_audit.errors import AuditError
from fa_audit.study.cells import study_cells
from fa_audit.study.settings import ComparisonSettings
from fa_audit.study.spec import load_study
from study.tiny import TINY, edited, write_study

QUICK = Path(fa_audit.__file__).parent / "quick"
REPRODUCTIONS = Path(__file__).parents[2] / "reproductions"

BP, TOEPLITZ = 'rule = "bp"\n', 'rule = "fa_toeplitz"\nfeedback_scale = 0.01\n'
PAIRS = 'pairs = ["fa_toeplitz~bp"]\n'
FIVE_RULES = {"bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn"}
TABLES = TINY[TINY.index("[data]") : TINY.index("[[configurations]]")]


# Studies that are there


@pytest.mark.parametrize("folder", [QUICK, REPRODUCTIONS / "lance_kieu_2026"], ids=lambda f: f.name)
def test_a_study_of_the_project_runs_all_five_rules_against_backpropagation(folder: Path) -> None:
    study = load_study(folder)
    assert study.name == folder.name
    assert set(study.configurations) >= FIVE_RULES
    published = {f"{rule}~bp" for rule in FIVE_RULES - {"bp"}}
    controls = {"bp~bp.other-seed", "untrained~bp", "bp~bp.shuffled"}
    assert set(study.comparisons) > published | controls
    for pair in published:
        assert tuple(study.comparisons[pair]) == study.seeds


def test_the_published_study_has_the_published_settings() -> None:
    study = load_study(REPRODUCTIONS / "lance_kieu_2026" / "study.toml")
    assert study.data.name == "cifar10"
    assert (study.data.validation, study.data.split_seed, study.data.crop) == (5000, 42, 24)
    training = {id: study.configurations[id][0].training for id in FIVE_RULES}
    for settings in training.values():
        assert (settings.learning_rate, settings.batch_size) == (1e-3, 128)
        assert (settings.optimizer, settings.initialisation) == ("adam", "shared")
    assert {id: s.weight_decay for id, s in training.items() if s.weight_decay} == {"bp": 1e-4}
    scales = {id: s.feedback_scale for id, s in training.items() if s.feedback_scale}
    assert scales == {"fa_random": 0.01, "fa_toeplitz": 0.01, "usf_init": 0.1}
    settings = study.comparison
    assert (settings.checkpoint, settings.batch_size) == ("best-validation", 256)
    assert settings.passes == 5
    channels = study.channels
    assert (channels.class_, channels.channels, channels.images) == ("dog", 3, 9)
    assert channels.layers == ("conv1", "conv2")
    assert set(channels.of) == {*FIVE_RULES, "untrained"}
    assert (set(study.cost.of), study.cost.reference) == (set(FIVE_RULES), "bp")


GOLDEN = """\
name = "golden"
title = "The first study's settings"
source = "reproductions/lance_kieu_2026 as first run"
seeds = [0, 1]
network = "architecture1"
data = { name = "cifar10", validation = 5000, split_seed = 42, crop = 24, flip = true }
probe = { images = 256, per_decade = 8, zero_errors = "exclude" }

[training]
epochs = 6
batch_size = 128
optimizer = "adam"
learning_rate = 1e-3
initialisation = "shared"
precision = "float32"

[[configurations]]
rule = "bp"
weight_decay = 1e-4

[[configurations]]
rule = "fa_random"
feedback_scale = 0.01

[[configurations]]
rule = "usf_sn"
"""


def test_runs_keep_the_names_that_ledgers_know_them_by(tmp_path: Path) -> None:
    """As written by fa-audit 0.1.0 (commit c31eb6b), torch 2.15, into the first study's ledger."""
    (tmp_path / "study.toml").write_text(GOLDEN, encoding="utf-8")
    assert {cell.stem for cell in study_cells(load_study(tmp_path))} == {
        "bp-s0-1823ee78c9d0",
        "bp-s1-7d2beaa88e6c",
        "fa_random-s0-1995836afa49",
        "fa_random-s1-a8e2d2873ced",
        "usf_sn-s0-14b57f867119",
        "usf_sn-s1-9c949b88ff5a",
    }


def test_the_quick_study_is_a_stand_in_with_three_seeds() -> None:
    study = load_study(QUICK)
    assert study.data.name == "shapes"
    assert len(study.seeds) == 3


def test_a_study_is_its_folder_or_its_file(tmp_path: Path) -> None:
    write_study(tmp_path)
    assert load_study(tmp_path) == load_study(tmp_path / "study.toml")


# What an entry means


def test_an_entry_overrides_the_settings_of_all_runs(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        (BP, BP + "weight_decay = 0.5\nepochs = 7\n"),
        (
            TOEPLITZ,
            TOEPLITZ + '[[configurations]]\nrule = "usf_sn"\nid = "sn.2"\nnorm = "spectral"\n',
        ),
    )
    bp, toeplitz, sn = (study.configurations[id] for id in ("bp", "fa_toeplitz", "sn.2"))
    assert (bp[0].training.weight_decay, bp[0].training.epochs) == (0.5, 7)
    assert (toeplitz[1].training.weight_decay, toeplitz[1].training.epochs) == (0.0, 2)
    assert (toeplitz[0].seed, toeplitz[1].seed) == (0, 1)
    assert sn[0].options == {"norm": "spectral"}
    assert study.data == bp[0].data
    assert bp[0].probe.images == 16


def test_whole_numbers_pass_for_numbers_and_are_the_same_run(tmp_path: Path) -> None:
    whole = write_study(tmp_path, ("learning_rate = 1e-3", "learning_rate = 1"))
    point = write_study(tmp_path, ("learning_rate = 1e-3", "learning_rate = 1.0"))
    assert whole == point
    assert whole.configurations["bp"][0].hash == point.configurations["bp"][0].hash


def test_without_pairs_nothing_is_compared(tmp_path: Path) -> None:
    study = write_study(tmp_path, (PAIRS, ""))
    assert study.comparisons == {}
    assert {cell.kind for cell in study_cells(study)} == {"run"}


def test_tables_left_out_have_their_defaults(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        (f"[comparison]\nbatch_size = 16\n{PAIRS}", ""),
        ("[probe]\nimages = 16\nper_decade = 2\n", ""),
        ('network = "architecture1"\n', ""),
    )
    assert study.comparison == ComparisonSettings()
    run = study.configurations["bp"][0]
    assert (run.network, run.probe.images) == ("architecture1", 256)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_first_seeds_of_a_study_are_the_same_runs(tmp_path: Path, seeds: int) -> None:
    whole = write_study(tmp_path)
    part = load_study(tmp_path, seeds)
    assert part.seeds == whole.seeds[:seeds]
    hashes = [cell.hash for cell in study_cells(part)]
    assert hashes == [cell.hash for cell in study_cells(whole)][: len(hashes)]


# Seeds of single configurations


def test_a_configuration_may_declare_its_own_seeds(tmp_path: Path) -> None:
    study = write_study(tmp_path, (TOEPLITZ, f"{TOEPLITZ}seeds = [7, 1]\n"))
    assert study.seeds == (0, 1)
    assert study.all_seeds == (0, 1, 7)
    assert tuple(study.configurations["fa_toeplitz"]) == (7, 1)
    assert tuple(study.comparisons["fa_toeplitz~bp"]) == (1,)  # the one that both sides have
    assert [(cell.id, cell.seed) for cell in study_cells(study)] == [
        ("bp", 0),
        ("bp", 1),
        ("fa_toeplitz", 1),
        ("fa_toeplitz~bp", 1),
        ("fa_toeplitz", 7),
    ]


def test_the_first_seeds_are_the_first_of_each_configuration(tmp_path: Path) -> None:
    write_study(tmp_path, (TOEPLITZ, f"{TOEPLITZ}seeds = [7, 1, 3]\n"))
    first = load_study(tmp_path, 1)
    assert [(cell.id, cell.seed) for cell in study_cells(first)] == [("bp", 0), ("fa_toeplitz", 7)]
    more = load_study(tmp_path, 3)
    assert {id: tuple(by_seed) for id, by_seed in more.configurations.items()} == {
        "bp": (0, 1),
        "fa_toeplitz": (7, 1, 3),
    }


# Grids


def test_lists_are_expanded_to_every_combination(tmp_path: Path) -> None:
    entry = """\
id = "fa"
rule = "fa_toeplitz"
learning_rate = [1e-3, 1e-5, 1]
feedback_scale = [0.01, 0.1]
epochs = 3
seeds = [1]
"""
    study = write_study(
        tmp_path, (TOEPLITZ, entry), (PAIRS, 'pairs = ["fa.learning_rate=1.feedback_scale=0.1~bp"]')
    )
    fa = {id: by_seed for id, by_seed in study.configurations.items() if id != "bp"}
    assert list(fa) == [
        f"fa.learning_rate={rate}.feedback_scale={scale}"
        for rate in ("0.001", "1e-05", "1")
        for scale in ("0.01", "0.1")
    ]
    for (rate, scale), by_seed in zip(
        product((1e-3, 1e-5, 1.0), (0.01, 0.1)), fa.values(), strict=True
    ):
        assert list(by_seed) == [1]
        training = by_seed[1].training
        assert (training.learning_rate, training.feedback_scale) == (rate, scale)
        assert (training.epochs, by_seed[1].rule) == (3, "fa_toeplitz")
    assert list(study.comparisons) == ["fa.learning_rate=1.feedback_scale=0.1~bp"]
    study = write_study(
        tmp_path, (TOEPLITZ, entry), (PAIRS, 'pairs = ["bp~bp.shuffled", "fa.*~bp"]')
    )
    assert list(study.comparisons) == ["bp~bp.shuffled", *(f"{id}~bp" for id in fa)]


def test_options_of_a_rule_are_expanded_too_and_called_after_the_rule(tmp_path: Path) -> None:
    study = write_study(
        tmp_path, (TOEPLITZ, 'rule = "usf_sn"\nnorm = ["frobenius", "spectral"]\n'), (PAIRS, "")
    )
    norms = {id: by_seed[0].options for id, by_seed in study.configurations.items() if id != "bp"}
    assert norms == {
        "usf_sn.norm=frobenius": {"norm": "frobenius"},
        "usf_sn.norm=spectral": {"norm": "spectral"},
    }


def test_a_list_of_trained_layers_is_one_setting_and_no_grid(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        ("feedback_scale = 0.01", 'feedback_scale = 0.01\ntrained_layers = ["fc2", "fc3"]'),
    )
    assert study.configurations["fa_toeplitz"][0].training.trained_layers == ("fc2", "fc3")
    assert study.configurations["bp"][0].training.trained_layers is None


def test_a_run_of_a_grid_is_the_run_that_stands_alone(tmp_path: Path) -> None:
    grid = write_study(tmp_path, (BP, f"{BP}weight_decay = [0.0, 1e-4]\n"), (PAIRS, ""))
    alone = write_study(tmp_path, (BP, f"{BP}weight_decay = 1e-4\n"), (PAIRS, ""))
    found = grid.configurations["bp.weight_decay=0.0001"][0]
    assert found.hash == alone.configurations["bp"][0].hash


# Cells


def test_cells_come_seed_by_seed_runs_before_their_comparisons(tmp_path: Path) -> None:
    cells = list(study_cells(write_study(tmp_path)))
    one = ["bp", "fa_toeplitz", "fa_toeplitz~bp"]
    assert [(cell.id, cell.seed) for cell in cells] == [(id, s) for s in (0, 1) for id in one]
    assert len({cell.hash for cell in cells}) == len({cell.stem for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.stem == f"{cell.id}-s{cell.seed}-{cell.hash[:12]}"


@pytest.mark.parametrize(
    "change",
    [
        ("[comparison]\nbatch_size = 16", "[comparison]\nbatch_size = 8"),
        ("[comparison]\nbatch_size = 16", '[comparison]\nbatch_size = 16\ncheckpoint = "last"'),
        ("[comparison]\nbatch_size = 16", '[comparison]\nbatch_size = 16\nsubsets = ["all"]'),
        ("[comparison]\nbatch_size = 16", "[comparison]\nbatch_size = 16\npasses = 2"),
    ],
    ids=lambda change: change[1].splitlines()[-1],
)
def test_how_runs_are_compared_enters_the_hash_of_the_comparison_alone(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    before, after = (list(study_cells(write_study(tmp_path, *c))) for c in ((), (change,)))
    for a, b in zip(before, after, strict=True):
        assert (a.hash == b.hash) == (a.kind == "run")


# Bad input: one sentence that names file, place and remedy

BAD = {
    "unknown key": (("seeds =", "tests = 3\nseeds ="), "study.toml has an unknown key 'tests'; it"),
    "unknown key in data": (
        ("[data]\n", "[data]\nfolder = 1\n"),
        "[data] has an unknown key 'folder'",
    ),
    "unknown key in training": (
        ("[training]\n", "[training]\nmomentum = 1\n"),
        "[training] has an unknown key 'momentum'",
    ),
    "unknown key in probe": (("[probe]\n", "[probe]\nx = 1\n"), "[probe] has an unknown key 'x'"),
    "unknown key in comparison": (
        ("[comparison]\n", "[comparison]\nx = 1\n"),
        "[comparison] has an unknown key 'x'",
    ),
    "unknown key in an entry": ((BP, BP + "x = 1\n"), "configuration 'bp' has an unknown key 'x'"),
    "seed in an entry": ((BP, BP + "seed = 1\n"), "configuration 'bp' has an unknown key 'seed'"),
    "option of another rule": (
        (BP, BP + 'norm = "spectral"\n'),
        "configuration 'bp' has an unknown key 'norm'",
    ),
    "unknown value of an option": (
        (BP, 'rule = "usf_sn"\nid = "bp"\nnorm = "nuclear"\n'),
        "configuration 'bp': option 'norm' of rule 'usf_sn' is 'nuclear'; choose one of: frobenius",
    ),
    "wrong type of an option": (
        (BP, 'rule = "usf_sn"\nid = "bp"\nnorm = 1\n'),
        "configuration 'bp': option 'norm' of rule 'usf_sn' is 1; choose one of",
    ),
    "unknown rule": (
        (BP, 'rule = "backprop"\n'),
        "configuration 'backprop': there is no rule 'backprop' (did you mean 'bp'?); the rules",
    ),
    "unknown network": (
        ('network = "architecture1"', 'network = "vgg"'),
        "configuration 'bp': network is 'vgg'; choose one of: architecture1",
    ),
    "network of wrong type": (
        ('network = "architecture1"', "network = 1"),
        "configuration 'bp': network is 1",
    ),
    "unknown data": (('name = "shapes"', 'name = "mnist"'), "data.name is 'mnist'; choose one of"),
    "no data": ((TABLES, TABLES[TABLES.index("[training]") :]), "[data] lacks name"),
    "data without validation": (("validation = 60\n", ""), "[data] lacks validation"),
    "data is no table": (
        (TABLES, "data = 1\n" + TABLES[TABLES.index("[training]") :]),
        "[data] must be",
    ),
    "training is no table": (
        (TABLES[TABLES.index("[training]") : TABLES.index("[probe]")], ""),
        "configuration 'bp' lacks epochs",
    ),
    "no learning rate": (("learning_rate = 1e-3\n", ""), "configuration 'bp' lacks learning_rate"),
    "learning rate of nought": (
        ("learning_rate = 1e-3", "learning_rate = 0"),
        "configuration 'bp': learning_rate is 0.0; it must",
    ),
    "negative learning rate of one entry": (
        (TOEPLITZ, TOEPLITZ + "learning_rate = -1e-3\n"),
        "configuration 'fa_toeplitz': learning_rate is -0.001; it must be > 0",
    ),
    "learning rate of nan": (
        ("learning_rate = 1e-3", "learning_rate = nan"),
        "configuration 'bp': learning_rate is nan; it",
    ),
    "infinite learning rate": (
        ("learning_rate = 1e-3", "learning_rate = inf"),
        "configuration 'bp': learning_rate is inf; it",
    ),
    "learning rate as text": (
        ("learning_rate = 1e-3", 'learning_rate = "1e-3"'),
        "configuration 'bp' learning_rate is '1e-3'; it must be of type float",
    ),
    "epochs as a fraction": (
        ("epochs = 2", "epochs = 2.5"),
        "configuration 'bp' epochs is 2.5; it must be of type int",
    ),
    "epochs as a truth value": (
        ("epochs = 2", "epochs = true"),
        "configuration 'bp' epochs is True; it must be of type int",
    ),
    "negative feedback scale": (
        ("feedback_scale = 0.01", "feedback_scale = -0.01"),
        "configuration 'fa_toeplitz': feedback_scale is -0.01; it must be > 0",
    ),
    "feedback scale where there is no feedback": (
        (BP, BP + "feedback_scale = 0.01\n"),
        "configuration 'bp': rule 'bp' stores no B0, so",
    ),
    "probe images of the wrong type": (
        ("images = 16", 'images = "all"'),
        "[probe] images is 'all'; it must be of type int",
    ),
    "no seeds": (("seeds = [0, 1]\n", ""), "seeds must be a list of different whole numbers"),
    "empty seeds": (("seeds = [0, 1]", "seeds = []"), "seeds must be a list of different whole"),
    "seeds twice": (
        ("seeds = [0, 1]", "seeds = [0, 0]"),
        "seeds must be a list of different whole",
    ),
    "negative seeds": (
        ("seeds = [0, 1]", "seeds = [-1]"),
        "seeds must be a list of different whole",
    ),
    "seeds as text": (
        ("seeds = [0, 1]", 'seeds = ["0"]'),
        "seeds must be a list of different whole",
    ),
    "one seed": (
        ("seeds = [0, 1]", "seeds = 3"),
        "seeds must be a list of different whole numbers",
    ),
    "truth value as seed": (
        ("seeds = [0, 1]", "seeds = [true]"),
        "seeds must be a list of different",
    ),
    "no title": (('title = "A tiny study"\n', ""), "title is missing or not a text"),
    "empty name": (('name = "tiny"', 'name = ""'), "name is missing or not a text"),
    "source of wrong type": (
        ('source = "a test"', "source = 2026"),
        "source is missing or not a text",
    ),
    "a reference": (
        ("seeds =", 'reference = "bp"\nseeds ='),
        "study.toml has an unknown key 'reference'; it may have: name, title, source, seeds, netw",
    ),
    "pair of an unknown configuration": (
        (PAIRS, 'pairs = ["fa_toeplitz~sgd"]\n'),
        "comparison.pairs has 'fa_toeplitz~sgd', but there is no configuration 'sgd'; "
        "choose from: bp, fa_toeplitz, untrained",
    ),
    "pair with an unknown suffix": (
        (PAIRS, 'pairs = ["bp~bp.last"]\n'),
        "comparison.pairs has 'bp~bp.last', but there is no configuration 'bp.last'; choose",
    ),
    "pair of one": (
        (PAIRS, 'pairs = ["bp"]\n'),
        "comparison.pairs has 'bp'; write rows~columns, such as usf_sn~bp",
    ),
    "pair of three": (
        (PAIRS, 'pairs = ["bp~bp~bp"]\n'),
        "comparison.pairs has 'bp~bp~bp'; write rows~columns",
    ),
    "pair twice": (
        (PAIRS, 'pairs = ["bp~bp", "bp~bp"]\n'),
        "comparison.pairs has 'bp~bp' twice; remove one of them",
    ),
    "pair twice, once by a star": (
        (PAIRS, 'pairs = ["bp~bp", "*~bp"]\n'),
        "comparison.pairs has 'bp~bp' twice; remove one of them",
    ),
    "star that fits nothing": (
        (PAIRS, 'pairs = ["sgd*~bp"]\n'),
        "comparison.pairs has 'sgd*~bp', but no configuration fits 'sgd*'; choose from: bp, fa_",
    ),
    "rows shuffled": (
        (PAIRS, 'pairs = ["bp.shuffled~bp"]\n'),
        "comparison.pairs has 'bp.shuffled~bp'; only the second side can be shuffled",
    ),
    "both sides at the other seed": (
        (PAIRS, 'pairs = ["bp.other-seed~untrained.other-seed"]\n'),
        "comparison.pairs has 'bp.other-seed~untrained.other-seed'; both sides at the other seed ",
    ),
    "pairs as text": (
        (PAIRS, 'pairs = "fa_toeplitz~bp"\n'),
        "[comparison] pairs is 'fa_toeplitz~bp'; it must be a list of texts",
    ),
    "seeds of an entry as a number": (
        (BP, BP + "seeds = 1\n"),
        "configuration 'bp': seeds must be a list of different whole numbers",
    ),
    "empty list in an entry": (
        (BP, BP + "learning_rate = []\n"),
        "configuration 'bp': learning_rate is an empty list; give it values",
    ),
    "list of an unknown key": (
        (BP, BP + "x = [1, 2]\n"),
        "configuration 'bp.x=1' has an unknown key 'x'",
    ),
    "bad value in a list": (
        (BP, BP + "learning_rate = [1e-3, 0]\n"),
        "configuration 'bp.learning_rate=0': learning_rate is 0.0; it must be > 0",
    ),
    "value twice in a list": (
        (BP, BP + "learning_rate = [1, 1.0]\n"),
        "configuration 'bp.learning_rate=1' stands twice; give each its own id",
    ),
    "list of rules": (
        (BP, 'id = "bp"\nrule = ["bp", "usf_sn"]\n'),
        "configuration 'bp': rule is missing or not a text",
    ),
    "id that means something else": (
        (BP, BP + 'id = "untrained"\n'),
        "configuration 'untrained': this id means something else in comparison.pairs; choose anot",
    ),
    "id that ends like a side": (
        (BP, BP + 'id = "bp.other-seed"\n'),
        "configuration 'bp.other-seed': this id means something else in comparison.pairs",
    ),
    "entry without a rule": ((BP, 'id = "bp"\n'), "configuration 'bp': rule is missing"),
    "entry without anything": (
        (BP, ""),
        "configuration '': give it a rule and an id of small letters",
    ),
    "name that is no file name": (
        ('name = "tiny"', 'name = "a/b"'),
        "name is 'a/b'; give the study one of small letters, digits and _ . = + -",
    ),
    "id that is no file name": (
        (BP, BP + 'id = "a/b"\n'),
        "configuration 'a/b': give it a rule and an",
    ),
    "duplicate id": (
        (TOEPLITZ, TOEPLITZ + 'id = "bp"\n'),
        "configuration 'bp' stands twice; give each its own id",
    ),
    "duplicate configuration": (
        (TOEPLITZ, BP + 'id = "again"\nepochs = 2\nseeds = [5]\n'),
        "configurations 'bp' and 'again' are the same; remove one of them",
    ),
    "configurations of wrong type": (
        (
            "[[configurations]]\n" + BP + "\n[[configurations]]\n" + TOEPLITZ,
            "[configurations]\n" + BP,
        ),
        "configurations must be tables, each under the heading [[configurations]]",
    ),
    "no configurations": (
        ("[[configurations]]\n" + BP + "\n[[configurations]]\n" + TOEPLITZ, ""),
        "there is no [[configurations]]; add one per rule to be run",
    ),
    "unknown checkpoint": (
        ("[comparison]\n", '[comparison]\ncheckpoint = "best"\n'),
        "comparison.checkpoint is 'best'; choose one of: best-validation, last",
    ),
    "unknown subset": (
        ("[comparison]\n", '[comparison]\nsubsets = ["all", "wrong"]\n'),
        "comparison.subsets is ['all', 'wrong']; choose different ones from: all, both-right",
    ),
    "no subset": (
        ("[comparison]\n", "[comparison]\nsubsets = []\n"),
        "comparison.subsets is []; choose",
    ),
    "subset twice": (
        ("[comparison]\n", '[comparison]\nsubsets = ["all", "all"]\n'),
        "comparison.subsets is ['all', 'all']; choose",
    ),
    "subsets of wrong type": (
        ("[comparison]\n", '[comparison]\nsubsets = "all"\n'),
        "[comparison] subsets is 'all'; it must be a list of texts",
    ),
    "batches too small for CKA": (
        ("batch_size = 16", "batch_size = 3"),
        "comparison.batch_size is 3; CKA needs at least 4 images",
    ),
    "no pass": (
        ("[comparison]\n", "[comparison]\npasses = 0\n"),
        "comparison.passes is 0; it must be at least 1",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_that_names_file_and_place(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    with pytest.raises(AuditError) as refusal:
        write_study(tmp_path, change)
    assert str(refusal.value).startswith(f"{tmp_path / 'study.toml'}: {sentence}")
    assert "\n" not in str(refusal.value)


def test_a_pair_without_a_seed_is_refused(tmp_path: Path) -> None:
    sentence = "but there is no seed at which both sides are there; declare more seeds, or leave"
    alone = ("seeds = [0, 1]", "seeds = [0]"), (PAIRS, 'pairs = ["bp~bp.other-seed"]\n')
    with pytest.raises(AuditError, match=sentence):
        write_study(tmp_path, *alone)
    with pytest.raises(AuditError, match=sentence):
        write_study(tmp_path, (TOEPLITZ, f"{TOEPLITZ}seeds = [7]\n"))


@pytest.mark.parametrize("seeds", [0, -1, 3])
def test_more_seeds_than_declared_cannot_be_had(tmp_path: Path, seeds: int) -> None:
    write_study(tmp_path)
    with pytest.raises(AuditError, match=rf": {seeds} seeds were asked for, but 2 are declared: "):
        load_study(tmp_path, seeds)


def test_a_missing_study_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "study.toml"):
        with pytest.raises(
            AuditError, match=r"^there is no study at .*; name a folder with a study"
        ):
            load_study(path)


@pytest.mark.parametrize("content", [b"seeds = [0, 1", b"\xff\xfe\x00", b"seeds 1"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    with pytest.raises(AuditError, match=r"study\.toml cannot be read as TOML: "):
        load_study(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.toml").mkdir()
    with pytest.raises(AuditError, match=r"cannot be read as TOML"):
        load_study(tmp_path)


def test_the_tiny_study_itself_is_valid(tmp_path: Path) -> None:
    assert edited() == TINY
    assert write_study(tmp_path).seeds == (0, 1)
