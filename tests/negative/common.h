/* SPDX-License-Identifier: MIT */
/*
 * common.h: the types that every case of this folder uses. A case is a file with one mistake inside #ifdef MISTAKE: it
 * must compile without the macro and must be refused with it, by a message that matches its `refused:` line.
 */
#ifndef NEGATIVE_COMMON_H
#define NEGATIVE_COMMON_H

#include <troupe.h>

struct apple;
struct pear;
TR_ADDRESS_TYPE(apple_address, struct apple);
TR_ADDRESS_TYPE(pear_address, struct pear);
TR_REPLY_TYPE(int_reply, int);
TR_REPLY_TYPE(long_reply, long);
struct apple {
    int weight;
    struct int_reply reply;
    struct long_reply other;
};
struct pear {
    long weight;
    struct long_reply reply;
};

int negative_case(struct apple_address apples, struct pear_address pears);

#endif
