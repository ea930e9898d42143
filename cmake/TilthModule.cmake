# tilth_module(<name> DEPS <modules...> LIBS <imported targets...> TESTED_WITH <modules...>)
#
# One static library per folder of src/. DEPS repeats the layer table of
# docs/architecture.md; tools/check_layers.py holds the includes against the same table.
# Tests of a folder live in tests/unit/<name>/test_*.c, one program per file.
#
# TILTH_ONLY restricts the build to some folders while others are being taken apart.

add_library(tilth_flags INTERFACE)
target_compile_features(tilth_flags INTERFACE c_std_17)
target_compile_definitions(tilth_flags INTERFACE _GNU_SOURCE TILTH_VERSION="${PROJECT_VERSION}")
target_compile_options(tilth_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wfloat-conversion -Wundef -Wvla
  -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wimplicit-fallthrough -Wdouble-promotion -Wswitch-enum
  -Werror=implicit-function-declaration -Werror=incompatible-pointer-types -Werror=return-type
  -Werror=int-conversion
  # Labels must not depend on the compiler: no fused multiply-add behind our back.
  -ffp-contract=off
  -fvisibility=hidden -fno-common -fPIE
  $<$<C_COMPILER_ID:GNU>:-Wduplicated-cond -Wduplicated-branches -Wlogical-op>
  $<$<C_COMPILER_ID:Clang>:-Wcomma -Wassign-enum>
  -include ${PROJECT_SOURCE_DIR}/src/base/banned.h)
target_link_options(tilth_flags INTERFACE -pie)

set(TILTH_SANITIZE "" CACHE STRING "address;undefined | thread | fuzzer-no-link")
if(TILTH_SANITIZE)
  string(REPLACE ";" "," sanitizers "${TILTH_SANITIZE}")
  target_compile_options(tilth_flags INTERFACE
    -fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tilth_flags INTERFACE -fsanitize=${sanitizers})
endif()

option(TILTH_COVERAGE "Instrument for gcov" OFF)
if(TILTH_COVERAGE)
  target_compile_options(tilth_flags INTERFACE --coverage)
  target_link_options(tilth_flags INTERFACE --coverage)
endif()

option(TILTH_HARDEN "FORTIFY, stack protector, full RELRO" OFF)
if(TILTH_HARDEN)
  target_compile_options(tilth_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection)
  target_link_options(tilth_flags INTERFACE -Wl,-z,relro,-z,now)
endif()

set(TILTH_ONLY "" CACHE STRING "Build these folders only, e.g. base;store")

function(tilth_module name)
  cmake_parse_arguments(M "" "" "DEPS;LIBS;TESTED_WITH" ${ARGN})
  if(TILTH_ONLY AND NOT name IN_LIST TILTH_ONLY)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  add_library(tilth_${name} STATIC ${sources})
  target_include_directories(tilth_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM M_DEPS PREPEND tilth_)
  target_link_libraries(tilth_${name} PUBLIC ${M_DEPS} PRIVATE tilth_flags ${M_LIBS})
  if(TILTH_TESTS)
    list(TRANSFORM M_TESTED_WITH PREPEND tilth_)
    tilth_unit_tests(${name} ${M_TESTED_WITH})
  endif()
endfunction()

function(tilth_unit_tests name)
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/unit/${name}/test_*.c)
  foreach(source ${tests})
    get_filename_component(test ${source} NAME_WE)
    string(REPLACE "test_" "" short ${test})
    if(${name}/${short} IN_LIST TILTH_LEFT_OUT)
      continue()
    endif()
    set(target test_${name}_${short})
    add_executable(${target} ${source})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support)
    target_compile_definitions(${target} PRIVATE TILTH_ROOT="${PROJECT_SOURCE_DIR}"
                                                 TILTH_PYTHON="${Python3_EXECUTABLE}")
    target_link_libraries(${target} PRIVATE ${ARGN} tilth_${name} tilth_flags cmocka m)
    add_test(NAME unit.${name}.${short} COMMAND ${target})
    set_tests_properties(unit.${name}.${short} PROPERTIES LABELS unit TIMEOUT 600)
  endforeach()
endfunction()

# tilth_fuzz(<module> <target> [SOURCE <name>] [DEFINE ..]): tests/fuzz/fuzz_<name>.c, as the target
# is called when not said otherwise, as a libFuzzer program under the fuzz preset, and everywhere as a
# replay of tests/fuzz/corpus/<target>/.
function(tilth_fuzz module target)
  cmake_parse_arguments(F "" "SOURCE" "DEFINE" ${ARGN})
  if(NOT TARGET tilth_${module} OR fuzz/${target} IN_LIST TILTH_LEFT_OUT)
    return()
  endif()
  if(NOT F_SOURCE)
    set(F_SOURCE ${target})
  endif()
  set(source ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_${F_SOURCE}.c)
  if(NOT EXISTS ${source})
    return()
  endif()
  if(TILTH_FUZZ)
    add_executable(fuzz_${target} ${source})
    target_compile_definitions(fuzz_${target} PRIVATE ${F_DEFINE})
    target_link_options(fuzz_${target} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(fuzz_${target} PRIVATE tilth_${module} tilth_flags m)
  endif()
  if(TILTH_TESTS)
    add_executable(replay_${target} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    target_compile_definitions(replay_${target} PRIVATE ${F_DEFINE})
    target_link_libraries(replay_${target} PRIVATE tilth_${module} tilth_flags m)
    add_test(NAME fuzz.${target}
             COMMAND replay_${target} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${target})
    set_tests_properties(fuzz.${target} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
endfunction()
