"""Chapter 07, ProtoNets, the mathematics: seven exercises with references, right and wrong answers."""

STUBS = '''\
check.prototypes(prototypes)            6 minutes, ●○○
def prototypes(features, labels, n_way):
    """The mean of each class, (n_way, d).

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1, each at
    least once, in any order, not equally often. Gradients flow back to the features.
    """
    raise NotImplementedError

check.bregman(divergence)               8 minutes, ●●○
def divergence(phi, z, c):
    """The Bregman divergence of z from c, one number.

    phi: a smooth convex function of a vector, made of torch operations, that gives
    one number. z, c: float64 (d,). The answer is φ(z) minus the tangent plane of φ at
    c, taken at z. It can be differentiated with respect to z and to c.
    """
    raise NotImplementedError

check.linear(linear_classifier)         8 minutes, ●●○
def linear_classifier(prototypes):
    """Weight w (n_way, d) and bias b (n_way,) of the linear layer that ProtoNet is.

    prototypes c: float64 (n_way, d). The softmax of z @ w.T + b is that of
    −‖z − cₖ‖² for every z: what is the same for all classes drops out.
    """
    raise NotImplementedError

check.probabilities(log_probabilities)  8 minutes, ●●○
def log_probabilities(features, prototypes):
    """log p(class k | z), the log-softmax of −‖z − cₖ‖²: (points, n_way).

    features z: float64 (points, d); prototypes c: float64 (n_way, d). One point or
    many; some so far away that e to the −‖z − cₖ‖² is zero for a computer: their
    log-probabilities are finite. Gradients flow back to both.
    """
    raise NotImplementedError

check.noise(expected_error)             4 minutes, ●○○
def expected_error(d, sigma, k_shot):
    """The mean of ‖c − μ‖², when c is the mean of k_shot points about μ; one number.

    Each of the d features of a point is that of μ plus normal noise of standard
    deviation sigma, all independent.
    """
    raise NotImplementedError

check.distance(expected_distance)       6 minutes, ●●○
def expected_distance(d, sigma, k_shot, gap):
    """The mean of ‖z − c‖² of a new point z and a prototype c, one number.

    c is the mean of k_shot points of one class, z is not among them. The centres of
    the class of z and of that of c are `gap` apart: 0 when it is the same class.
    Every feature of every point has independent normal noise, standard deviation sigma.
    """
    raise NotImplementedError

check.unequal(corrected)                5 minutes, ●●○
def corrected(distances, counts, d, sigma):
    """Squared distances without what the noise of each prototype adds to them on average.

    distances: float64 (points, n_way), from each point to each class's prototype, the
    mean of counts[k] points with d features of independent noise, standard deviation
    sigma. counts: int64 (n_way,). An answer may be negative. Returns (points, n_way).
    """
    raise NotImplementedError
'''
