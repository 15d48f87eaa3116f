/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for what takes long (copies of the environment, archives). It runs one job after the
 * other; a finished one is handed back through a pipe, so that everything else stays in the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "catalogd/catalogd.h"

struct worker {
	struct catalogd *c;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list jobs, finished; /* under lock */
	bool ending;		    /* under lock */
	size_t jobs_count;	    /* the loop's: added, not done */
	int pipe[2];
	struct loop_io io;
};

static void finish(struct worker *w, struct worker_job *job)
{
	pthread_mutex_lock(&w->lock);
	list_add_tail(&w->finished, &job->link);
	pthread_mutex_unlock(&w->lock);
	/* A full pipe wakes the loop as well. */
	if (write(w->pipe[1], "", 1) < 0 && errno != EAGAIN) {
		must(!"the pipe of the worker");
	}
}

static struct worker_job *next_job(struct worker *w)
{
	struct worker_job *job = NULL;

	pthread_mutex_lock(&w->lock);
	while (!w->ending && list_empty(&w->jobs)) {
		pthread_cond_wait(&w->wake, &w->lock);
	}
	if (!w->ending) {
		job = list_first(&w->jobs, struct worker_job, link);
		list_del(&job->link);
	}
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct worker_job *job;

	while ((job = next_job(w))) {
		job->work(job);
		finish(w, job);
	}
	return NULL;
}

static void on_finished(void *arg, int events)
{
	struct worker *w = arg;
	char ignored[64];
	struct worker_job *job;

	while (read(w->pipe[0], ignored, sizeof(ignored)) > 0) {
	}
	for (;;) {
		pthread_mutex_lock(&w->lock);
		job = list_first(&w->finished, struct worker_job, link);
		if (job) {
			list_del(&job->link);
		}
		pthread_mutex_unlock(&w->lock);
		if (!job) {
			return;
		}
		w->jobs_count--;
		job->done(w->c, job);
	}
}

/* The thread leaves every signal to the loop's. */
static int thread_start(struct worker *w)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	r = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r ? err_new(-r, "pthread_create") : 0;
}

int worker_new(struct catalogd *c, struct worker **out)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	int r;

	w->c = c;
	list_init(&w->jobs);
	list_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	if (pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK)) {
		r = err_errno("pipe2");
		free(w);
		return r;
	}
	r = thread_start(w);
	if (r) {
		close(w->pipe[0]);
		close(w->pipe[1]);
		free(w);
		return r;
	}
	loop_io_init(&w->io, c->daemon->loop, w->pipe[0], on_finished, w);
	loop_io_set(&w->io, LOOP_READ);
	*out = w;
	return 0;
}

void worker_add(struct worker *w, struct worker_job *job)
{
	pthread_mutex_lock(&w->lock);
	w->jobs_count++;
	list_add_tail(&w->jobs, &job->link);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

bool worker_busy(struct worker *w)
{
	return w->jobs_count > 0;
}

static void drop_all(struct list *jobs)
{
	struct worker_job *job, *following;

	list_for_each_safe (job, following, jobs, link) {
		list_del(&job->link);
		job->drop(job);
	}
}

void worker_free(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	drop_all(&w->jobs);
	drop_all(&w->finished);
	loop_io_set(&w->io, 0);
	close(w->pipe[0]);
	close(w->pipe[1]);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
