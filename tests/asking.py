"""Short ways to ask for scores; proxies are given as spelled, as they are, or as readings."""

from untrained.scoring import engine
from untrained.scoring.request import Reading, ScoreRequest, parse_reading


def reading_of(proxy):
    if isinstance(proxy, str):
        return parse_reading(proxy)
    return proxy if isinstance(proxy, Reading) else Reading(proxy)


def request(space, proxies, images, seed, execution):
    return ScoreRequest(space, tuple(map(reading_of, proxies)), images, (seed,), execution)


def score_architectures(space, indices, proxy, images, seed, execution):
    work = ((index, [proxy]) for index in indices)
    return (score for (score,) in score_work(space, work, images, seed, execution))


def score_work(space, work, images, seed, execution):
    asked = request(space, [], images, seed, execution)
    chosen = ((index, seed, list(map(reading_of, proxies))) for index, proxies in work)
    return engine.score_work(asked, chosen)


def score_by_all(build, proxies, batch, execution, seed, *keys, training=None):
    subject = engine.Subject(build, execution, seed, lambda _setting: batch, keys, training)
    return subject.scores(list(map(reading_of, proxies)))


def score_network(build, proxy, *given, **options):
    (score,) = score_by_all(build, [proxy], *given, **options)
    return score


def score_module(network, proxy, batch, execution, seed):
    """Score a network with the weights it has on a batch of one's own."""
    return score_network(lambda _classes: network, proxy, batch, execution, seed)
