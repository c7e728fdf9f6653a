# SPDX-License-Identifier: Apache-2.0
"""The command line as its user meets it: what it prints, and what it says to bad input."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gen.__main__ import main
from gen.unit import discover
from hw.spec.formats import CATALOGUE


def run(capsys, *argv):
    """Return (status, stdout, stderr) of one command."""
    try:
        status = main(list(argv))
    except SystemExit as leaving:
        status = leaving.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_without_arguments_it_lists_the_units(capsys):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(discover())


def test_without_a_cache_folder(tmp_path):
    """As for users without a home."""
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "gen", "pe", "--format", "int2"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "module pe(" in done.stdout


def test_list_for_tools(capsys):
    _, out, _ = run(capsys, "list", "--json")
    units = {unit["name"]: unit for unit in json.loads(out)}
    assert units.keys() == discover().keys()
    lanes = next(p for p in units["pe"]["parameters"] if p["name"] == "lanes")
    assert (lanes["type"], lanes["default"]) == ("int", 1)


@pytest.mark.parametrize("name", discover())
def test_help_names_every_parameter(capsys, name):
    status, out, _ = run(capsys, name, "--help")
    assert status == 0
    for parameter in discover()[name].help:
        assert "--" + parameter.replace("_", "-") in out


def test_formats(capsys):
    _, out, _ = run(capsys, "formats")
    assert [line.split()[0] for line in out.splitlines()[1 : len(CATALOGUE) + 1]] == list(CATALOGUE)
    _, out, _ = run(capsys, "formats", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["e4m3"] == rows["e4m3"] | {"bits": 8, "max": "448", "special": ["NaN"]}


def test_codes_of_a_format(capsys):
    _, out, _ = run(capsys, "formats", "e2m1")
    codes = re.findall(r"^ *(\d+) [01]{4} +(\S+)$", out, re.M)
    values = "0 0.5 1 1.5 2 3 4 6 -0 -0.5 -1 -1.5 -2 -3 -4 -6".split()
    assert codes == [(str(k), value) for k, value in enumerate(values)]


def test_bits_alone_pick_a_format_and_say_so(capsys):
    _, out, _ = run(capsys, "pe", "--bits", "4")
    assert "// --bits 4 alone: the weights are int4" in out
    _, family, _ = run(capsys, "pe", "--bits", "4", "--format", "int")
    assert family.split("module pe", 1)[1] == out.split("module pe", 1)[1]


@pytest.mark.parametrize("target", ["gates", "xcup"])
def test_auto_says_in_the_header_what_it_chose_and_why(capsys, target):
    _, out, _ = run(capsys, "pe", "--format", "int4", "--target", target)
    unit = {"gates": r"GE @ \d+ NAND2 delays", "xcup": "LUT"}[target]
    why = rf"smallest on record for one lane of int4 x int8: (\S+) {unit}; \S+ (\S+) {unit}"
    found = re.search(rf"^// --arch auto: (\S+) for {target}, {why}$", out, re.M)
    assert float(found[2]) <= float(found[3])
    _, asked, _ = run(capsys, "pe", "--format", "int4", "--target", target, "--arch", found[1])
    assert "--arch auto" not in asked
    assert asked.split("module pe", 1)[1] == out.split("module pe", 1)[1]


@pytest.mark.parametrize(
    "options",
    [
        ["--act", "bf16", "--window=-10:8"],
        ["--format", "codebook:0,-0.0000152587890625", "--name", "m"],
        ["--bits", "2", "--core", "dot", "--target", "ecp5"],
    ],
)
def test_the_command_in_the_header_makes_the_same_text(capsys, options):
    _, out, _ = run(capsys, "pe", *options)
    command = re.search(r"^// Made by: python -m gen (.*)$", out, re.M)[1]
    assert run(capsys, *shlex.split(command)) == (0, out, "")


def test_help_tells_every_default(capsys):
    _, out, _ = run(capsys, "pe", "--help")
    for option, default in (("pipeline", "0"), ("lanes", "1"), ("act", "int8")):
        assert re.search(rf"--{option} .*?\(default: {default}\)", out, re.S)


def test_show_and_a_manifest(capsys, tmp_path):
    file = tmp_path / "m.json"
    status, out, _ = run(capsys, "pe", "--show", "--manifest", str(file))
    assert status == 0 and "endmodule" not in out
    assert json.loads(file.read_text())["module"] == "pe"


def test_show_prints_no_verilog(capsys):
    status, out, _ = run(capsys, "pe", "--format", "e2m1", "--show")
    assert status == 0 and "endmodule" not in out
    assert re.search(r"^  out +20  o_acc +int20 in units of 2\^-1$", out, re.M)


def test_bundle(capsys, tmp_path):
    status, out, err = run(capsys, "pe", "--format", "nf4", "--name", "mac", "-o", str(tmp_path))
    assert (status, out, err) == (0, "", "")
    names = {"mac.v", "mac.json", "mac.core", "mac.vectors.json", "test_mac.py"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert set(json.loads((tmp_path / "mac.json").read_text())["files"]) == names


#: What stands for the text of a unit with a clock.
VERILOG = "/* none */\nmodule copro(aclk, aresetn);\n"


@pytest.mark.parametrize("extra", [True, False])
def test_bundle_of_a_unit_with_registers(capsys, tmp_path, monkeypatch, extra):
    """With PeakRDL, and without it, which is said."""
    monkeypatch.setattr("gen.emit.yosys.to_verilog", lambda _: VERILOG)
    if not extra:
        monkeypatch.setattr("gen.registers.import_module", _missing)
    words = "coprocessor --preset tiny --name copro -o"
    status, _, err = run(capsys, *words.split(), str(tmp_path))
    assert status == 0
    made = {"copro.h", "copro.md", "copro.xml"} if extra else {"copro_registers.txt"}
    names = {"copro.v", "copro.json", "copro.core", "copro.rdl", "copro.svd"} | made
    names |= {"component.xml", "copro_ip.tcl"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert set(json.loads((tmp_path / "copro.json").read_text())["files"]) == names
    assert "} AXI_ATTR @ 0x058;" in (tmp_path / "copro.rdl").read_text()
    if not extra:
        assert err.startswith("python -m gen coprocessor: Left out: copro.h, ")
        assert "bitloom[registers]" in err and err.count("\n") == 1
    else:
        assert err == ""


def _missing(name):
    raise ImportError(name)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(
    "words", ["array --dataflow ws --rows 2 --columns 1 --depth 2", "mpgemm --bits 1 --columns 1"]
)
def test_the_smoke_test_of_an_engine(capsys, tmp_path, words, right):
    """It passes as it comes, and not if one result differs."""
    assert run(capsys, *words.split(), "--max-k", "8", "--name", "e", "-o", str(tmp_path))[0] == 0
    if not right:
        vectors = json.loads((tmp_path / "e.vectors.json").read_text())
        vectors["streams"]["m_axis_out"][-1]["m_axis_out_tdata"] ^= 1
        (tmp_path / "e.vectors.json").write_text(json.dumps(vectors))
    smoke = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_e.py"]
    done = subprocess.run(smoke, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == right, done.stdout


BAD = [
    (["nonsense"], "nonsense"),
    (["pe", "--format", "e9m9"], "'e9m9'"),
    (["pe", "--format", "int"], "needs --bits"),
    (["pe", "--format", "e2m1", "--bits", "8"], "conflicts with bits 8"),
    (["pe", "--bits", "17"], "not 17"),
    (["pe", "--bits", "four"], "'four' is not an integer"),
    (["pe", "--lanes", "0"], "lanes must be an integer from 1 to 1024, not 0"),
    (["pe", "--max-k", "3", "--lanes", "4"], "max_k must be at least lanes, 4, not 3"),
    (["pe", "--acc-bits", "8"], "acc_bits must be an integer from 20 to 4096, not 8"),
    (["pe", "--pipeline", "9"], "pipeline must be an integer from 0 to 3, not 9"),
    (["pe", "--arch", "magic"], "'magic'"),
    (["pe", "--core", "dot", "--pipeline", "1"], "pipeline must be 0 where core is dot, not 1"),
    (["pe", "--format", "bf16"], "may be the activation"),
    (["pe", "--window=-24:16"], "window must not be given with act 'int8'"),
    (["pe", "--act", "bf16", "--window", "up"], "LOW:HIGH"),
    (["pe", "--name", "2pe"], "'2pe'"),
    (["pe", "--name", "module"], "'module'"),
    (["pe", "--name", "interface"], "'interface'"),
    (["pe", "--name", "o_acc"], "'o_acc'"),
    (["pe", "--name", "clk"], "'clk'"),
    (["pe", "--core", "dot", "--acc-bits", "30"], "acc_bits must not be given where core is dot"),
    (["pe", "--act", "e0m4", "--window=-4:4"], "'e0m4': it has no exponent"),
    (["pe", "--act", "e4m3", "--window=-20:-6"], "HIGH above -6"),
    (["pe", "--format", "codebook:0,1,2"], "has 3 values"),
    (["pe", "--format", "codebook:0,1,x,3"], "'x' is not a number"),
    (["pe", "--format", "codebook:no/such/file"], "cannot be read"),
    (["pe", "--manifest", "no/such/folder/m.json"], "cannot write 'no/such/folder/m.json'"),
    (["pe", "-o", "/dev/null/x"], "cannot write '/dev/null/x'"),
    (["formats", "int1"], "'int1'"),
]


@pytest.mark.parametrize(("argv", "part"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line_and_exit_2(capsys, argv, part):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert part in err and err.count("\n") == 1 and err.endswith("\n")


def test_an_unreadable_code_book(capsys, tmp_path):
    book = tmp_path / "book"
    book.write_bytes(b"\xff\xfe\x00")
    status, out, err = run(capsys, "pe", "--format", f"codebook:{book}")
    assert (status, out) == (2, "") and "not a text file" in err


def test_a_code_book_file_is_its_values(capsys, tmp_path):
    book = tmp_path / "book"
    book.write_text("0, 1\n2.5 -4\n")
    _, from_file, _ = run(capsys, "pe", "--format", f"codebook:{book}")
    _, from_values, _ = run(capsys, "pe", "--format", "codebook:0,1,2.5,-4")
    assert from_file == from_values and str(tmp_path) not in from_file


def test_nothing_is_half_written(capsys, tmp_path):
    """One name of the bundle cannot be written: none is."""
    (tmp_path / "pe.vectors.json").mkdir()
    status, _, err = run(capsys, "pe", "-o", str(tmp_path))
    assert status == 2 and "pe.vectors.json" in err
    assert [path.name for path in tmp_path.iterdir()] == ["pe.vectors.json"]


KNOWN = """
pe list formats --json --format --act --bits --lanes --arch --core --window --name --show int4 e2m1
posit8_0 codebook:1,2 codebook: -1 0 1 3 99999999999999 dot accumulate -- -h
"""
WORDS = st.one_of(
    st.sampled_from(KNOWN.split()),
    st.text(max_size=12),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=8))
@example(["pe", "--format", "\n"])
@example(["pe", "--format", "codebook:1e999999999,1"])
@example(["pe", "--format", "codebook:\0"])
@example(["formats", "e2m1\u2028x"])
def test_any_arguments_never_end_in_a_traceback(words):
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    words = [word for word in words if word not in ("-o", "--output", "--manifest")]
    if any(word.startswith("-o") for word in words):
        return
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as leaving:
            status = leaving.code
    assert status in (0, 2)
    if status == 2:
        assert out.getvalue() == "" and err.getvalue().count("\n") == 1
