/* Captures and graphs, while nodes among them. */
#include "test_support.h"

static cudaGraphExec_t instantiate(cudaGraph_t graph)
{
    cudaGraphExec_t exec;
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphDestroy(graph));
    return exec;
}

/* Adds a conditional node behind what the stream has captured. The body is captured next. */
static cudaGraph_t begin_body(cudaStream_t stream, cudaGraphConditionalHandle handle,
                              enum cudaGraphConditionalNodeType type)
{
    struct cudaGraphNodeParams params = {.type = cudaGraphNodeTypeConditional};
    enum cudaStreamCaptureStatus status;
    const cudaGraphNode_t *after;
    cudaGraph_t graph;
    cudaGraphNode_t node;
    size_t n;

    OK(cudaStreamGetCaptureInfo(stream, &status, NULL, &graph, &after, NULL, &n));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    params.conditional.handle = handle;
    params.conditional.type = type;
    params.conditional.size = 1;
    OK(cudaGraphAddNode(&node, graph, after, NULL, n, &params));
    OK(cudaStreamUpdateCaptureDependencies(stream, &node, NULL, 1, cudaStreamSetCaptureDependencies));
    return params.conditional.phGraph_out[0];
}

static cudaGraphConditionalHandle new_handle(cudaStream_t stream)
{
    enum cudaStreamCaptureStatus status;
    cudaGraphConditionalHandle handle;
    cudaGraph_t graph;

    OK(cudaStreamGetCaptureInfo(stream, &status, NULL, &graph, NULL, NULL, NULL));
    OK(cudaGraphConditionalHandleCreate(&handle, graph, 0, cudaGraphCondAssignDefault));
    assert_true(handle != 0);
    return handle;
}

static void a_capture_runs_at_each_launch(void **state)
{
    cudaStream_t stream = new_stream();
    cudaGraph_t graph;
    int *device = new_int(0);

    (void)state;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    affine_launch(device, 2, 1, stream);
    OK(cudaStreamEndCapture(stream, &graph));
    assert_int_equal(int_at(device), 0);
    cudaGraphExec_t exec = instantiate(graph);
    OK(cudaGraphUpload(exec, stream));
    for (int i = 0; i < 3; i++)
        OK(cudaGraphLaunch(exec, stream));
    OK(cudaGraphExecDestroy(exec)); /* what is queued still runs */
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(int_at(device), 7);
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
}

/* A fork to another stream and back; `waits`: the way there is marked by an event. */
static int fork_and_join(unsigned seed, int waits)
{
    cudaGraph_t graph;

    reset_to_seed(seed);
    cudaStream_t stream = new_stream(), side = new_stream();
    cudaEvent_t fork = new_event(), wrote = new_event(), join = new_event();
    int *device = new_int(1);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(fork, stream));
    OK(cudaStreamWaitEvent(side, fork, 0));
    fill_launch(device, 21, stream);
    OK(cudaEventRecord(wrote, stream));
    if (waits)
        OK(cudaStreamWaitEvent(side, wrote, 0));
    affine_launch(device, 2, 0, side);
    OK(cudaEventRecord(join, side));
    OK(cudaStreamWaitEvent(stream, join, 0));
    OK(cudaStreamEndCapture(stream, &graph));
    cudaGraphExec_t exec = instantiate(graph);
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    int value = int_at(device);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(side));
    OK(cudaEventDestroy(fork));
    OK(cudaEventDestroy(wrote));
    OK(cudaEventDestroy(join));
    OK(cudaFree(device));
    return value;
}

static void branches_run_in_any_order(void **state)
{
    int n_right = 0;

    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        assert_int_equal(fork_and_join(seed, 1), 42);
        n_right += fork_and_join(seed, 0) == 42;
    }
    assert_true(n_right > 0 && n_right < MANY_SEEDS);
}

static void add_one(void *counter)
{
    *(int *)counter += 1;
}

/* counters[0] turns of: start counters[1], as many turns of: counters[2] += 1 by another library. */
static cudaGraphExec_t capture_nested(int *counters, int outer, int inner, cudaStream_t stream,
                                      cudaStream_t body_stream, cudaStream_t inner_stream)
{
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
    cudaGraph_t graph, body, inner_body, same;

    OK(cudaStreamBeginCapture(stream, mode));
    cudaGraphConditionalHandle loop = new_handle(stream);
    start_count_launch(counters, 0, outer, loop, stream);
    body = begin_body(stream, loop, cudaGraphCondTypeWhile);
    OK(cudaStreamBeginCaptureToGraph(body_stream, body, NULL, NULL, 0, mode));
    cudaGraphConditionalHandle inner_loop = new_handle(body_stream);
    start_count_launch(counters, 1, inner, inner_loop, body_stream);
    inner_body = begin_body(body_stream, inner_loop, cudaGraphCondTypeWhile);
    OK(cudaStreamBeginCaptureToGraph(inner_stream, inner_body, NULL, NULL, 0, mode));
    OK(sim_enqueue(inner_stream, add_one, &counters[2], NULL));
    count_down_launch(counters, 1, inner_loop, inner_stream);
    OK(cudaStreamEndCapture(inner_stream, &same));
    assert_ptr_equal(same, inner_body);
    OK(cudaMemcpyAsync(&counters[3], &counters[2], sizeof(int), cudaMemcpyDeviceToDevice, body_stream));
    OK(cudaMemsetAsync(&counters[4], 0, sizeof(int), body_stream));
    count_down_launch(counters, 0, loop, body_stream);
    OK(cudaStreamEndCapture(body_stream, &same));
    assert_ptr_equal(same, body);
    affine_launch(&counters[3], 100, 0, stream);
    OK(cudaStreamEndCapture(stream, &graph));
    return instantiate(graph);
}

static void check_nested(unsigned seed, int outer, int inner)
{
    int host[5], *counters;

    reset_to_seed(seed);
    cudaStream_t streams[3] = {new_stream(), new_stream(), new_stream()};
    OK(cudaMalloc((void **)&counters, sizeof(host)));
    OK(cudaMemset(counters, 0, sizeof(host)));
    OK(cudaDeviceSynchronize()); /* the streams do not wait for stream 0 */
    cudaGraphExec_t exec = capture_nested(counters, outer, inner, streams[0], streams[1], streams[2]);
    for (int launch = 1; launch <= 2; launch++) {
        OK(cudaGraphLaunch(exec, streams[1]));
        OK(cudaStreamSynchronize(streams[1]));
        OK(cudaMemcpy(host, counters, sizeof(host), cudaMemcpyDeviceToHost));
        assert_int_equal(host[0], 0);
        assert_int_equal(host[2], launch * outer * inner);
        assert_int_equal(host[3], outer == 0 ? 0 : 100 * launch * outer * inner);
    }
    OK(cudaGraphExecDestroy(exec));
    for (int i = 0; i < 3; i++)
        OK(cudaStreamDestroy(streams[i]));
    OK(cudaFree(counters));
}

static void while_nodes_nest(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        check_nested(seed, 3, 4);
        check_nested(seed, 0, 4);
        check_nested(seed, 2, 0);
    }
}

static cudaGraphExec_t capture_condition(enum cudaGraphConditionalNodeType type, int start, int *counters,
                                         cudaStream_t stream, cudaStream_t body_stream)
{
    cudaGraph_t graph, body;

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    cudaGraphConditionalHandle handle = new_handle(stream);
    start_count_launch(counters, 0, start, handle, stream);
    body = begin_body(stream, handle, type);
    OK(cudaStreamBeginCaptureToGraph(body_stream, body, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    affine_launch(&counters[1], 1, 1, body_stream);
    OK(cudaStreamEndCapture(body_stream, &body));
    OK(cudaStreamEndCapture(stream, &graph));
    return instantiate(graph);
}

static int run_condition(enum cudaGraphConditionalNodeType type, int start)
{
    cudaStream_t stream = new_stream(), body_stream = new_stream();
    int *counters;

    OK(cudaMalloc((void **)&counters, 2 * sizeof(int)));
    OK(cudaMemset(counters, 0, 2 * sizeof(int)));
    OK(cudaDeviceSynchronize());
    cudaGraphExec_t exec = capture_condition(type, start, counters, stream, body_stream);
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    int n_turns = int_at(&counters[1]);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(body_stream));
    OK(cudaFree(counters));
    return n_turns;
}

static void endless(void *argument)
{
    (void)argument;
    run_condition(cudaGraphCondTypeWhile, 1); /* nobody counts down */
}

static void conditions_are_looked_at(void **state)
{
    (void)state;
    assert_int_equal(run_condition(cudaGraphCondTypeIf, 5), 1);
    assert_int_equal(run_condition(cudaGraphCondTypeIf, 0), 0);
    assert_int_equal(run_condition(cudaGraphCondTypeWhile, 0), 0);
    expect_abort(endless, NULL, "a graph's while node has run its body 100000 times");
}

static void wrong_nodes_are_refused(void **state)
{
    struct cudaGraphNodeParams params = {.type = cudaGraphNodeTypeConditional};
    cudaGraphConditionalHandle handle;
    cudaGraph_t graph, other;
    cudaGraphNode_t node;

    (void)state;
    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphCreate(&other, 0));
    OK(cudaGraphConditionalHandleCreate(&handle, graph, 0, cudaGraphCondAssignDefault));
    params.conditional.handle = handle;
    params.conditional.type = cudaGraphCondTypeWhile;
    params.conditional.size = 2;
    FAILS(cudaErrorInvalidValue, cudaGraphAddNode(&node, graph, NULL, NULL, 0, &params));
    params.conditional.size = 1;
    FAILS(cudaErrorInvalidValue, cudaGraphAddNode(&node, other, NULL, NULL, 0, &params));
    OK(cudaGraphAddNode(&node, graph, NULL, NULL, 0, &params));
    FAILS(cudaErrorInvalidValue, cudaGraphDestroy(params.conditional.phGraph_out[0]));
    OK(cudaGraphDestroy(graph));
    OK(cudaGraphDestroy(other));
    (void)cudaGetLastError();
}

static void pageable_copies_do_not_fit_bodies(void **state)
{
    cudaStream_t stream = new_stream(), body_stream = new_stream();
    cudaGraph_t graph, body;
    cudaGraphExec_t exec;
    int host = 1, *device = new_int(0);

    (void)state;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    body = begin_body(stream, new_handle(stream), cudaGraphCondTypeWhile);
    OK(cudaStreamBeginCaptureToGraph(body_stream, body, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    OK(cudaMemcpyAsync(device, &host, sizeof(host), cudaMemcpyHostToDevice, body_stream));
    OK(cudaStreamEndCapture(body_stream, &body));
    OK(cudaStreamEndCapture(stream, &graph));
    FAILS(cudaErrorInvalidValue, cudaGraphInstantiate(&exec, graph, 0));
    (void)cudaGetLastError();
    OK(cudaGraphDestroy(graph));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(body_stream));
    OK(cudaFree(device));
}

static void wrong_captures_fail(void **state)
{
    cudaStream_t stream = new_stream(), side = new_stream();
    cudaEvent_t event = new_event();
    cudaGraph_t graph;
    int *device = new_int(0);
    void *more;

    (void)state;
    FAILS(cudaErrorStreamCaptureUnsupported, cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal));
    FAILS(cudaErrorIllegalState, cudaStreamEndCapture(stream, &graph));

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    FAILS(cudaErrorStreamCaptureUnsupported, cudaMalloc(&more, 1));
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    assert_null(graph);

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    FAILS(cudaErrorStreamCaptureUnsupported, cudaStreamSynchronize(stream));
    (void)cudaGetLastError();
    fill_launch(device, 1, stream);
    FAILS(cudaErrorStreamCaptureInvalidated, cudaGetLastError());
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(event, stream));
    FAILS(cudaErrorCapturedEvent, cudaEventQuery(event));
    OK(cudaStreamWaitEvent(side, event, 0));
    fill_launch(device, 1, side);
    FAILS(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(side, &graph));
    FAILS(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(stream, &graph));

    OK(cudaEventRecord(event, side));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    FAILS(cudaErrorStreamCaptureIsolation, cudaStreamWaitEvent(stream, event, 0));
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    (void)cudaGetLastError();
    assert_int_equal(int_at(device), 0);
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(side));
    OK(cudaEventDestroy(event));
    OK(cudaFree(device));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_reset, support_no_leaks)

int run_graph_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_capture_runs_at_each_launch),
        TEST(branches_run_in_any_order),
        TEST(while_nodes_nest),
        TEST(conditions_are_looked_at),
        TEST(wrong_nodes_are_refused),
        TEST(pageable_copies_do_not_fit_bodies),
        TEST(wrong_captures_fail),
    };
    return cmocka_run_group_tests_name("graphs", tests, NULL, NULL);
}
