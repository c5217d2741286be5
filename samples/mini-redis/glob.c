/* SPDX-License-Identifier: MIT */
/*
 * glob.c: matching in at most |pattern| x |text| steps: when a piece fails, only the last '*' is tried again
 * one byte further, because whatever an earlier star could still swallow, the later one can as well. So a
 * hostile pattern costs time in proportion to its length, not exponentially.
 */
#include "glob.h"

/* Signed, since Redis compares the ends of ranges as it is on x86: there 0x80 to 0xff lie in front of 0. */
static signed char fold(char c, bool ignore_case)
{
    return (signed char)(ignore_case && c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* The class whose '[' is pattern[at]: does `c` belong to it? *at moves to its last byte. A missing ']' ends
 * it. */
static bool match_class(struct slice pattern, size_t *at, char text, bool ignore_case)
{
    signed char c = fold(text, ignore_case);
    size_t i = *at + 1;
    bool negated = i < pattern.size && pattern.data[i] == '^';
    bool found = false;
    for (i += negated; i < pattern.size && pattern.data[i] != ']'; i++) {
        if (pattern.data[i] == '\\' && i + 1 < pattern.size) {
            i++;
            found |= fold(pattern.data[i], ignore_case) == c;
        } else if (i + 2 < pattern.size && pattern.data[i + 1] == '-') {
            signed char low = fold(pattern.data[i], ignore_case), high = fold(pattern.data[i + 2], ignore_case);
            found |= low <= high ? low <= c && c <= high : high <= c && c <= low;
            i += 2;
        } else {
            found |= fold(pattern.data[i], ignore_case) == c;
        }
    }
    *at = i < pattern.size ? i : pattern.size - 1;
    return found != negated;
}

/* One element of the pattern, not a star, against one byte; *at moves behind it on success. */
static bool match_one(struct slice pattern, size_t *at, char c, bool ignore_case)
{
    size_t i = *at;
    bool matches;
    switch (pattern.data[i]) {
    case '?':
        matches = true;
        break;
    case '[':
        matches = match_class(pattern, &i, c, ignore_case);
        break;
    case '\\':
        i += i + 1 < pattern.size;
        /* fall through */
    default:
        matches = fold(pattern.data[i], ignore_case) == fold(c, ignore_case);
        break;
    }
    if (matches)
        *at = i + 1;
    return matches;
}

bool glob_match(struct slice pattern, struct slice text, bool ignore_case)
{
    if (text.size == 0)
        return pattern.size == 0;
    size_t p = 0, t = 0;
    size_t star = SIZE_MAX, resume = 0; /* behind the last star, and where its next attempt begins */
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = ++p;
            resume = t;
        } else if (p < pattern.size && match_one(pattern, &p, text.data[t], ignore_case)) {
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}
