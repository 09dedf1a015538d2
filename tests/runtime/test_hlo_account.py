"""The account of a small program, written by hand in the form of XLA's optimized programs."""

import pytest

from msdi_jax.runtime.hlo_account import Program, Traffic

# A loop of 5 trips, whose body has a loop of 3; collectives alone, in pairs, in a fusion and in an
# asynchronous call; types with layouts, tuples and comments; estimates as numbers and as text.
TEXT = """\
HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[8,4]{1,0:T(8,128)})->f32[8,4]{1,0}}

%add.1 (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%fused (p: bf16[8,4]) -> bf16[16,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  ROOT %gather.1 = bf16[16,4]{1,0} all-gather(%p), dimensions={0}
}

%inner (i: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %i = (s32[], f32[8,4]{1,0:T(8,128)}) parameter(0)
  %part = f32[8,4]{1,0:T(8,128)} get-tuple-element(%i), index=1
  %convolution.2 = f32[8,4]{1,0:T(8,128)} convolution(%part, %part), backend_config={"window_config":{"estimated_cycles":"7"}}
  ROOT %t = (s32[], f32[8,4]{1,0:T(8,128)}) tuple(%part, %convolution.2)
}

%body.1 (b: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %b = (s32[], f32[8,4]{1,0:T(8,128)}, /*index=2*/pred[3]{0}) parameter(0)
  %permute-start = (f32[8,4]{1,0}, f32[8,4]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%b), source_target_pairs={{0,1}}
  %permute-done = f32[8,4]{1,0} collective-permute-done(%permute-start)
  ROOT %while.2 = (s32[], f32[8,4]{1,0:T(8,128)}) while(%b), condition=%condition, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
}

%condition (c: (s32[], f32[8,4])) -> pred[] {
  %c = (s32[], f32[8,4]{1,0}) parameter(0)
  ROOT %less = pred[] compare(%c, %c), direction=LT, backend_config={"estimated_cycles":"1000"}
}

%async (a: u8[10]) -> u8[5] {
  %a = u8[10]{0} parameter(0)
  ROOT %scatter = u8[5]{0} reduce-scatter(%a), dimensions={0}, to_apply=%add.1
}

ENTRY %main (x.1: f32[8,4], y.1: bf16[8,4]) -> f32[8,4] {
  %x.1 = f32[8,4]{1,0:T(8,128)} parameter(0), metadata={op_name="x"}
  %y.1 = bf16[8,4]{1,0} parameter(1)
  %copy.1 = f32[8,4]{0,1:T(4,128)} copy(%x.1), metadata={op_name="jit(step)/transpose(jvp())/pad"}, backend_config={"window_config":{"estimated_cycles":20}}
  %fusion.1 = bf16[16,4]{1,0} fusion(%y.1), kind=kCustom, calls=%fused, backend_config={"estimated_cycles":"100"}
  %all-reduce.1 = (f32[8,4]{1,0}, bf16[2]{0}) all-reduce(%copy.1, %y.1), to_apply=%add.1
  %start = ((u8[10]{0}), u8[5]{0}, s32[]{:S(2)}) async-start(%y.1), calls=%async
  %done = u8[5]{0} async-done(%start)
  %gemm = (f32[8,4]{1,0}, s8[0]{0}) custom-call(%copy.1), custom_call_target="__cublas$gemm"
  ROOT %while.1 = (s32[], f32[8,4]{1,0:T(8,128)}) while(%x.1), condition=%condition, body=%body.1, backend_config={"known_trip_count":{"n":"5"},"estimated_cycles":"0"}
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def program():
    return Program(TEXT)


def test_cycles_count_the_trips_of_all_loops_around(program):
    assert program.cycles() == 20 + 100 + 5 * 3 * 7


def test_the_dearest_instructions_are_first(program):
    runs = program.estimated()
    names = [run.instruction.name for run in runs]
    assert names == ["convolution.2", "fusion.1", "copy.1", "while.1"]
    assert [run.times for run in runs] == [15, 1, 1, 1]
    copy = runs[2].instruction
    assert copy.opcode == "copy"
    assert copy.type == "f32[8,4]{0,1:T(4,128)}"
    assert copy.origin == "jit(step)/transpose(jvp())/pad"


def test_collectives_by_kind_with_the_bytes_of_their_results(program):
    assert program.collectives() == {
        "all-gather": Traffic(1, 16 * 4 * 2),
        "all-reduce": Traffic(1, 8 * 4 * 4 + 2 * 2),
        "collective-permute": Traffic(5, 5 * 8 * 4 * 4),
        "reduce-scatter": Traffic(1, 5),
    }


def test_kernels_are_what_a_device_starts(program):
    # copy, fusion, all-reduce, reduce-scatter, cuBLAS; permute-start 5 times; convolution 15 times.
    assert program.kernels() == 5 + 5 + 15


def test_a_compiler_without_estimates_gives_no_cycles():
    entry = "ENTRY %main (x: f32[2]) -> f32[2] {\n  ROOT %x = f32[2]{0} parameter(0)\n}\n"
    assert Program(entry).cycles() is None
    assert Program(entry).collectives() == {}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bf16[3,5]{1,0:T(8,128)(2,1)S(1)}", 30),
        ("(f32[2]{0}, pred[7]{0}, token[])", 15),
        ("f8e4m3fn[4]", 4),
        ("s4[4]{0:E(4)}", 2),
        ("f64[]", 8),
        ("c64[2]", 16),
    ],
)
def test_bytes_of_types(text, size):
    line = f"ENTRY %m (x: f32[]) -> f32[] {{\n  ROOT %x = {text} parameter(0)\n}}\n"
    (run,) = Program(line).runs()
    assert run.instruction.bytes == size
