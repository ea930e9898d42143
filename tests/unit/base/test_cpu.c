#include "base/cpu.h"

#include "tl_test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* cpu_isa() answers once per process, so each wish is asked in a process of its own. */
static enum cpu_isa isa_with(const char *wish)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (wish)
            setenv("TILTH_ISA", wish, 1);
        else
            unsetenv("TILTH_ISA");
        _exit((int)cpu_isa());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum cpu_isa)WEXITSTATUS(status);
}

TEST(a_wish_lowers_and_never_raises)
{
    enum cpu_isa best = isa_with(NULL);

    assert_int_equal(isa_with("scalar"), ISA_SCALAR);
    assert_true(isa_with("avx512") <= best);
    assert_int_equal(isa_with("no such thing"), best);
#if defined(__x86_64__)
    assert_int_equal(isa_with("sse2"), ISA_SSE2);
    assert_int_equal(isa_with("neon"), ISA_SCALAR);
#elif defined(__aarch64__)
    assert_int_equal(best, ISA_NEON);
    assert_int_equal(isa_with("neon"), ISA_NEON);
    assert_int_equal(isa_with("avx2"), ISA_SCALAR);
#endif
}

TEST(every_isa_has_a_name)
{
    assert_string_equal(cpu_isa_name(ISA_SCALAR), "scalar");
    assert_string_equal(cpu_isa_name(ISA_AVX512), "avx512");
}

TEST(there_is_a_core_to_run_on)
{
    assert_in_range(cpu_cores(), 1, 100000);
}

RUN(T(a_wish_lowers_and_never_raises), T(every_isa_has_a_name), T(there_is_a_core_to_run_on))
