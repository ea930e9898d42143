/*
 * The tree is built in one array (Moffat and Katajainen, "In-place calculation of
 * minimum-redundancy codes", 1995): weights sorted upwards are consumed from the left by
 * the leaf cursor while internal nodes, which come out sorted by themselves, are written
 * over the places the leaves have left. Only the number of leaves at each depth is wanted:
 *
 *   leaves(depth) = 2 * internal(depth - 1) - internal(depth)
 *
 * and the rarest symbols get the longest codes.
 */
#include "image/huffman.h"

#include "base/check.h"

#include <string.h>

struct symbol {
    uint32_t weight;
    uint16_t value;
};

/* Least significant byte first; a tile has fewer than 65,536 tokens, so two passes. */
static void sort_by_weight(struct symbol *symbols, unsigned count)
{
    struct symbol other[HUFFMAN_SYMBOLS_MAX];
    uint32_t all = 0;

    for (unsigned i = 0; i < count; i++)
        all |= symbols[i].weight;
    for (unsigned shift = 0; shift < 32 && all >> shift != 0; shift += 8) {
        unsigned start[257] = {0};

        for (unsigned i = 0; i < count; i++)
            start[(symbols[i].weight >> shift & 255) + 1]++;
        for (unsigned i = 1; i < 257; i++)
            start[i] += start[i - 1];
        for (unsigned i = 0; i < count; i++)
            other[start[symbols[i].weight >> shift & 255]++] = symbols[i];
        memcpy(symbols, other, count * sizeof(*symbols));
    }
}

/* The symbols that occur, and enough others to make two. */
static unsigned collect(const uint32_t *weights, unsigned count, struct symbol *ret_symbols)
{
    unsigned used = 0;

    for (unsigned i = 0; i < count; i++)
        if (weights[i] > 0)
            ret_symbols[used++] = (struct symbol){.weight = weights[i], .value = (uint16_t)i};
    for (unsigned i = 0; used < 2; i++)
        if (weights[i] == 0)
            ret_symbols[used++] = (struct symbol){.weight = 1, .value = (uint16_t)i};
    return used;
}

/*
 * Weights, rising, become the parents of the count - 1 internal nodes; node count - 2 is
 * the root. Node i is stored at nodes[i]: it is made after at least i + 2 leaves or nodes
 * are used up, so it never overwrites an unread leaf.
 */
static void link_tree(uint32_t *nodes, unsigned count)
{
    unsigned leaf = 0, node = 0;

    for (unsigned next = 0; next < count - 1; next++) {
        uint32_t sum = 0;

        for (int child = 0; child < 2; child++) {
            if (leaf >= count || (node < next && nodes[node] < nodes[leaf])) {
                sum += nodes[node];
                nodes[node++] = next;
            } else {
                sum += nodes[leaf++];
            }
        }
        nodes[next] = sum;
    }
}

/* Leaves at each depth; those below the limit are counted at the limit. */
static void count_leaves(uint32_t *nodes, unsigned count, unsigned limit_bits, unsigned *ret_leaves)
{
    unsigned internal[HUFFMAN_SYMBOLS_MAX] = {1}; /* the root */
    unsigned deepest = 0;

    nodes[count - 2] = 0;
    for (unsigned i = count - 2; i-- > 0;) {
        nodes[i] = nodes[nodes[i]] + 1;
        internal[nodes[i]]++;
        deepest = TL_MAX(deepest, nodes[i]);
    }
    memset(ret_leaves, 0, (limit_bits + 1) * sizeof(*ret_leaves));
    for (unsigned depth = 1; depth <= deepest + 1; depth++) {
        unsigned below = depth <= deepest ? internal[depth] : 0;

        ret_leaves[TL_MIN(depth, limit_bits)] += 2 * internal[depth - 1] - below;
    }
}

/*
 * Cutting the tree at the limit left too many codes: the sum of 2^-length is above one.
 * Hanging a deepest leaf beside the deepest leaf above it takes exactly 2^-limit away.
 */
static void fit_limit(unsigned *leaves, unsigned limit_bits)
{
    uint32_t sum = 0;

    for (unsigned bits = 1; bits <= limit_bits; bits++)
        sum += leaves[bits] << (limit_bits - bits);
    for (; sum > UINT32_C(1) << limit_bits; sum--) {
        unsigned bits = limit_bits - 1;

        while (leaves[bits] == 0)
            bits--;
        leaves[bits]--;
        leaves[bits + 1] += 2;
        leaves[limit_bits]--;
    }
    TL_CHECK(sum == UINT32_C(1) << limit_bits);
}

void huffman_lengths(const uint32_t *weights, unsigned count, unsigned limit_bits,
                     uint8_t *ret_lengths)
{
    struct symbol symbols[HUFFMAN_SYMBOLS_MAX] = {0};
    uint32_t nodes[HUFFMAN_SYMBOLS_MAX] = {0};
    unsigned leaves[HUFFMAN_BITS_MAX + 1];

    TL_CHECK(count >= 2 && count <= HUFFMAN_SYMBOLS_MAX && limit_bits <= HUFFMAN_BITS_MAX);
    unsigned used = collect(weights, count, symbols);
    TL_CHECK(used <= 1U << limit_bits);
    sort_by_weight(symbols, used);
    for (unsigned i = 0; i < used; i++)
        nodes[i] = symbols[i].weight;
    link_tree(nodes, used);
    count_leaves(nodes, used, limit_bits, leaves);
    fit_limit(leaves, limit_bits);

    memset(ret_lengths, 0, count);
    unsigned rarest = 0;
    for (unsigned bits = limit_bits; bits > 0; bits--)
        for (unsigned i = 0; i < leaves[bits]; i++)
            ret_lengths[symbols[rarest++].value] = (uint8_t)bits;
}

static uint16_t reverse_bits(unsigned code, unsigned bits)
{
    unsigned reversed = 0;

    for (; bits > 0; bits--) {
        reversed = reversed << 1 | (code & 1);
        code >>= 1;
    }
    return (uint16_t)reversed;
}

void huffman_codes(const uint8_t *lengths, unsigned count, uint16_t *ret_codes)
{
    unsigned at_length[HUFFMAN_BITS_MAX + 1] = {0};
    unsigned next[HUFFMAN_BITS_MAX + 2] = {0};

    for (unsigned i = 0; i < count; i++)
        at_length[lengths[i]]++;
    at_length[0] = 0;
    for (unsigned bits = 1; bits <= HUFFMAN_BITS_MAX; bits++)
        next[bits + 1] = (next[bits] + at_length[bits]) << 1;
    for (unsigned i = 0; i < count; i++)
        ret_codes[i] = lengths[i] ? reverse_bits(next[lengths[i]]++, lengths[i]) : 0;
}
