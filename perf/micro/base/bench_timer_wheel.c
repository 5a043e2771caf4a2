/* SPDX-License-Identifier: BSD-3-Clause */
/* The timer wheel beside 100,000 timers armed for the next minutes: arming one that is armed earlier (what a packet
 * does), moving one forward, and a tick with what is due in it. */
#include "base/timer_wheel.h"

#include "bench.h"

#define TIMERS 100000u
#define ROUNDS 256u

struct ctx {
    struct timer_wheel wheel;
    uint32_t at, sum;
    uint32_t ids[ROUNDS];
};

/* Each a while ahead: 10 s to 2.5 minutes. */
static uint32_t far(const struct ctx *c, uint32_t id) {
    return c->wheel.now_ms + 10000 + id * 2654435761u % 140000;
}

static void pick(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        c->ids[i] = 1 + (uint32_t)rand() % TIMERS;
        timer_wheel_cancel(&c->wheel, c->ids[i]);
        timer_wheel_arm(&c->wheel, c->ids[i], far(c, c->ids[i]));
    }
}

static void arm_later(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        timer_wheel_arm(&c->wheel, c->ids[i], c->wheel.now_ms + 200000);
}

static void arm_earlier(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        timer_wheel_arm(&c->wheel, c->ids[i], c->wheel.now_ms + 200);
}

/* 100,000 timers over 140 s are less than one a tick. */
static void tick(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    uint32_t fired[64];

    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t n = timer_wheel_advance(&c->wheel, c->wheel.now_ms + 1, fired, WEIR_ARRAY_LEN(fired));
        for (uint32_t k = 0; k < n; k++)
            timer_wheel_arm(&c->wheel, fired[k], far(c, fired[k]));
        c->sum += n;
    }
}

int main(void) {
    static struct ctx c;

    if (timer_wheel_init(&c.wheel, TIMERS, 1000) < 0)
        return 1;
    for (uint32_t id = 1; id <= TIMERS; id++)
        timer_wheel_arm(&c.wheel, id, far(&c, id));
    bench_run("timer_wheel_arm later (lazy)", 1, ROUNDS, arm_later, pick, &c);
    bench_run("timer_wheel_arm earlier (relinks)", 1, ROUNDS, arm_earlier, pick, &c);
    bench_run("timer_wheel_advance 1 ms + arm due", 1, ROUNDS, tick, NULL, &c);
    timer_wheel_fini(&c.wheel);
    return 0;
}
