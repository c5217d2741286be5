/* SPDX-License-Identifier: MIT */
/* fake_workers.h: the first threads of a model as workers, each with a seat of bias.h; the others are plain threads. */
#ifndef FAKE_WORKERS_H
#define FAKE_WORKERS_H

#include "mailbox/bias.h"
#include "model.h"

static int fake_worker_count;

/* To be called in setup. */
static void fake_workers(int count)
{
    fake_worker_count = count;
    for (int i = 1; i <= count; i++)
        tri_seats[i].claim = TRI_BIASED | (uint32_t)i;
}

struct tri_seat *tri_seat_here(void)
{
    int self = model_self();
    return &tri_seats[self < 0 || self >= fake_worker_count ? 0 : self + 1];
}

#endif
