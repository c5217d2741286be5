/* SPDX-License-Identifier: MIT */
/* fake_seats.h: in the place of mailbox/bias.c, for models of runtimes in which nothing is biased. To be included once. */
#ifndef FAKE_SEATS_H
#define FAKE_SEATS_H

#include "mailbox/bias.h"

struct tri_seat *tri_seat_enter(void)
{
    return NULL;
}

void tri_seat_leave(void)
{
}

#endif
