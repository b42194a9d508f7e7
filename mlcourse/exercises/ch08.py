"""Chapter 08, ProtoNets on Omniglot: four exercises with references, right and wrong answers."""

STUBS = '''\
check.episode(episode_loss)             10 minutes, ●●○
def episode_loss(net, support, query, n_way):
    """The mean cross-entropy of the queries of one episode, one number.

    support, query: (images, labels), images (points, 1, h, w), labels int64 (points,),
    0 to n_way - 1 in any order. net makes features (points, d) of images, each image
    by itself here, so both sets may go through it together or one after the other.
    The scores are minus the squared distances to the prototypes of the support set.
    Gradients flow to the parameters of net, through both sets.
    """
    raise NotImplementedError

check.one_out(leave_one_out)            10 minutes, ●●○
def leave_one_out(features, labels, n_way):
    """Each point's squared distances to the class means, (points, n_way), made without it.

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1 in any order,
    each at least twice, not equally often. The mean of a point's own class leaves the
    point out; the other means do not know it anyway.
    """
    raise NotImplementedError

check.evaluate(evaluate)                12 minutes, ●●●
def evaluate(net, episodes, n_way):
    """The mean accuracy over tasks and the half width of its 95 % interval, two numbers.

    episodes: (support, query), each (images, labels) with a leading dimension of
    tasks, as `pool.sample` gives them; every task is classified by its own prototypes.
    Batch norm uses its running statistics, which stay as they are, no gradients are
    kept, and afterwards net is in the mode, training or not, in which it came.
    Half width: 1.96 standard errors over tasks; the standard deviation divides by n - 1.
    """
    raise NotImplementedError

check.alphabet(within_alphabet)         12 minutes, ●●●
def within_alphabet(pool, generator, n_way=20):
    """One task as Lake's: all characters from one alphabet, one drawing each in each set.

    pool: `Characters`. The alphabet is any with n_way characters or more, all equally
    likely; the characters are n_way different ones of it. One of the 20 drawers
    (`pool.drawer`) made all drawings of the support, another one all of the query.
    Returns (support, query), each (images, labels) in the shapes and types of
    `pool.sample(1, 1, 1, generator, n_way)`; which character gets which label, and the
    order of the points in each set, are random. generator: the only randomness.
    """
    raise NotImplementedError
'''
