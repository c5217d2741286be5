/* SPDX-License-Identifier: MIT */
/* fake_seats.h: in the place of mailbox/bias.c and monitor.c, for models of runtimes in which nothing is biased. To be included once. */
#ifndef FAKE_SEATS_H
#define FAKE_SEATS_H

#include "mailbox/bias.h"
#include "mailbox/monitor.h"

void tri_seat_enter(void)
{
}

void tri_seat_leave(void)
{
}

struct tri_home *tri_home_at(uint32_t index)
{
    (void)index;
    return NULL;
}

#endif
