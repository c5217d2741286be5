/* SPDX-License-Identifier: MIT */
/*
 * model_gate.c: using and closing a descriptor (io/gate.c). The descriptor is plain memory, which every use reads and close(2)
 * writes; shutdown(2) ends the operations that wait inside, and orders what was before it, as the real one does.
 *
 *   leave          a reader and a writer on their way out x a closer, who frees the gate
 *   leave, users   the same with two users of a listener, and a stray wake of the closer
 *   inside         a reader and a writer that wait x a closer, who frees the gate
 *   shut           a reader that waits x a writer that shuts and leaves; the gate is used no more, but open
 *   shut, close    the same x a closer, who frees the gate
 *   enter          a reader and a writer x a closer; the gate's memory stays
 *   enter, users   the same with two users of a listener
 *   enter, shut    a reader and a writer x one who shuts, then closes
 *   roles          two readers: one at a time, and the second sees what the first has left
 *   gone           a writer on its way out x a reader who looks whether it has gone, and sees then what it has left
 *
 * In each: nobody uses a descriptor that is closed, or a gate that is freed; a wait inside ends, and finds the gate shut; the
 * closer returns; and there is one shutdown at the most.
 */
#include "fake_waiter.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int fake_shutdown(int fd, int how);
static int fake_close(int fd);
#define shutdown fake_shutdown
#define close fake_close
#include "io/gate.c"
#undef shutdown
#undef close

enum { FD = 5, CLOSER = 2 };

static struct tri_gate *gate, lasting;
static bool is_open; /* the descriptor; plain */
static TRI_ATOMIC(uint32_t) shutdowns;
static int roles_state; /* of whoever is inside in a role; plain */
static bool entered[MODEL_THREADS];

/* ---- what the machine does ---- */

static int fake_shutdown(int fd, int how)
{
    model_assert(fd == FD && how == SHUT_RDWR && is_open);
    model_assert(tri_fetch_add(&shutdowns, 1u, TRI_ACQ_REL) == 0);
    return 0;
}

static int fake_close(int fd)
{
    model_assert(fd == FD && is_open);
    is_open = false;
    return 0;
}

static bool is_down(const void *unused)
{
    (void)unused;
    return model_peek(&shutdowns) != 0;
}

/* ---- the parts ---- */

static void use(void)
{
    model_assert(gate->fd == FD && is_open);
}

/* An operation that nothing ends but shutdown(2). */
static void wait_inside(void)
{
    use();
    model_block(is_down, NULL);
    tri_fetch_add(&shutdowns, 0u, TRI_ACQ_REL);
    model_assert(tri_gate_is_shut(gate));
}

static void open_gate(struct tri_gate *at)
{
    gate = at;
    is_open = true;
    tri_gate_init(gate, FD);
}

static void setup_lasting(void)
{
    open_gate(&lasting);
}

static void setup_inside(void)
{
    open_gate(malloc(sizeof *gate));
    model_assert(tri_gate_enter(gate, TRI_GATE_READER) == 0);
    model_assert(tri_gate_enter(gate, TRI_GATE_WRITER) == 0);
    model_assert(tri_gate_enter(gate, TRI_GATE_READER) == -EBUSY);
}

static void setup_users(void)
{
    open_gate(malloc(sizeof *gate));
    model_assert(tri_gate_enter(gate, TRI_GATE_USER) == 0);
    model_assert(tri_gate_enter(gate, TRI_GATE_USER) == 0);
}

static void use_and_leave(unsigned role)
{
    use();
    tri_gate_leave(gate, role);
}

static void leaving_reader(void)
{
    use_and_leave(TRI_GATE_READER);
}

static void leaving_writer(void)
{
    use_and_leave(TRI_GATE_WRITER);
}

static void leaving_user(void)
{
    use_and_leave(TRI_GATE_USER);
}

static void noting_writer(void)
{
    roles_state = 1;
    tri_gate_leave(gate, TRI_GATE_WRITER);
}

static void looking_reader(void)
{
    if (!tri_gate_holds(gate, TRI_GATE_WRITER))
        model_assert(roles_state == 1);
    tri_gate_leave(gate, TRI_GATE_READER);
}

static void waiting_reader(void)
{
    wait_inside();
    tri_gate_leave(gate, TRI_GATE_READER);
}

static void waiting_writer(void)
{
    wait_inside();
    tri_gate_leave(gate, TRI_GATE_WRITER);
}

static void shutting_writer(void)
{
    use();
    tri_gate_shut(gate);
    tri_gate_shut(gate);
    tri_gate_leave(gate, TRI_GATE_WRITER);
}

static void enter_and_leave(unsigned role)
{
    int rc = tri_gate_enter(gate, role);
    entered[model_self()] = rc == 0;
    if (rc < 0)
        model_assert(rc == -EPIPE && tri_gate_is_shut(gate));
    else
        use_and_leave(role);
}

static void reader(void)
{
    enter_and_leave(TRI_GATE_READER);
}

static void writer(void)
{
    enter_and_leave(TRI_GATE_WRITER);
}

static void user(void)
{
    enter_and_leave(TRI_GATE_USER);
}

/* What a reader keeps between two operations needs no lock of its own. */
static void one_of_two_readers(void)
{
    int rc = tri_gate_enter(gate, TRI_GATE_READER);
    entered[model_self()] = rc == 0;
    model_assert(rc == 0 || rc == -EBUSY);
    if (rc < 0)
        return;
    roles_state++;
    tri_gate_leave(gate, TRI_GATE_READER);
}

static void closer(void)
{
    tri_gate_close(gate);
}

static void freeing_closer(void)
{
    tri_gate_close(gate);
    free(gate);
}

static void shutting_closer(void)
{
    tri_gate_shut(gate);
    tri_gate_close(gate);
}

static void stray(void)
{
    tri_wake(&fake_tasks[CLOSER + 1]);
}

static void check_closed(void)
{
    model_assert(!is_open);
}

static void check_open(void)
{
    model_assert(is_open && tri_load(&gate->state, TRI_RELAXED) == TRI_GATE_SHUT);
    model_assert(tri_gate_enter(gate, TRI_GATE_WRITER) == -EPIPE);
}

static void check_left(void)
{
    model_assert(!is_open && tri_load(&gate->state, TRI_RELAXED) == (TRI_GATE_SHUT | TRI_GATE_CLOSING));
}

static void check_gone(void)
{
    model_assert(is_open && tri_load(&gate->state, TRI_RELAXED) == 0);
}

static void check_roles(void)
{
    model_assert(roles_state == entered[0] + entered[1] && roles_state > 0);
    model_assert(tri_load(&gate->state, TRI_RELAXED) == 0);
}

static const struct model_case cases[] = {
    { .name = "leave",
      .setup = setup_inside,
      .check = check_closed,
      .threads = { { "reader", leaving_reader, 0 },
                   { "writer", leaving_writer, 0 },
                   { "closer", freeing_closer, 0 } } },
    { .name = "leave, users",
      .setup = setup_users,
      .check = check_closed,
      .threads = { { "user", leaving_user, 0 },
                   { "second", leaving_user, 0 },
                   { "closer", freeing_closer, 0 },
                   { "stray", stray, 0 } } },
    { .name = "inside",
      .setup = setup_inside,
      .check = check_closed,
      .threads = { { "reader", waiting_reader, 0 },
                   { "writer", waiting_writer, 0 },
                   { "closer", freeing_closer, 0 } } },
    { .name = "shut",
      .setup = setup_inside,
      .check = check_open,
      .threads = { { "reader", waiting_reader, 0 }, { "writer", shutting_writer, 0 } } },
    { .name = "shut, close",
      .setup = setup_inside,
      .check = check_closed,
      .threads = { { "reader", waiting_reader, 0 },
                   { "writer", shutting_writer, 0 },
                   { "closer", freeing_closer, 0 } } },
    { .name = "enter",
      .setup = setup_lasting,
      .check = check_left,
      .threads = { { "reader", reader, 0 }, { "writer", writer, 0 }, { "closer", closer, 0 } } },
    { .name = "enter, users",
      .setup = setup_lasting,
      .check = check_left,
      .threads = { { "user", user, 0 }, { "second", user, 0 }, { "closer", closer, 0 } } },
    { .name = "enter, shut",
      .setup = setup_lasting,
      .check = check_left,
      .threads = { { "reader", reader, 0 }, { "writer", writer, 0 }, { "closer", shutting_closer, 0 } } },
    { .name = "roles",
      .setup = setup_lasting,
      .check = check_roles,
      .threads = { { "reader", one_of_two_readers, 0 }, { "second", one_of_two_readers, 0 } } },
    { .name = "gone",
      .setup = setup_inside,
      .check = check_gone,
      .threads = { { "writer", noting_writer, 0 }, { "reader", looking_reader, 0 } } },
    { 0 },
};
MODEL(cases);
