#include "base/nearest.h"

#include "base/attr.h"

#include <stdint.h>
#include <string.h>

enum { WORD_MAX = 63 };

/* Optimal string alignment, three rows of the usual table. */
size_t nearest_distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t size_a = strlen(a), size_b = strlen(b);

    if (size_a > WORD_MAX || size_b > WORD_MAX)
        return size_a + size_b;
    for (size_t j = 0; j <= size_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= size_a; i++) {
        size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= size_b; j++) {
            size_t replace = up[j - 1] + (a[i - 1] != b[j - 1]);

            now[j] = TL_MIN(TL_MIN(up[j], now[j - 1]) + 1, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = TL_MIN(now[j], up2[j - 2] + 1);
        }
    }
    return rows[size_a % 3][size_b];
}

const char *nearest_word(const char *word, const char *const *known)
{
    /* A guess may change a third of the word, and one letter of a short one. */
    size_t best = strlen(word) / 3 + 2;
    const char *found = NULL;

    for (; *known; known++) {
        size_t distance = nearest_distance(word, *known);

        if (distance < best) {
            best = distance;
            found = *known;
        }
    }
    return found;
}
