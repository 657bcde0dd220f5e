"""A worker that loads a model once and keeps it in memory for all its tasks. It is heard while it works, tells how far it is,
and stops when it is told to. Put your own model in the place of load() and predict()."""
import http.client, json, os, threading, time, urllib.error, urllib.request


def load():
    """Takes long, once. Here: the words of a small dictionary and their weights."""
    return {"good": 1, "great": 2, "bad": -1, "awful": -2}


def predict(model, text):
    time.sleep(0.01)
    return sum(model.get(word, 0) for word in text.lower().split())


class Stopped(Exception):
    """The task was cancelled, or its lease is over."""


def work(model, payload, task):
    texts = payload["texts"]
    scores = []
    for number, text in enumerate(texts):
        task.check()
        scores.append(predict(model, text))
        task.progress = {"done": number + 1, "total": len(texts)}
    return {"scores": scores, "process": os.getpid()}


def call(verb, message, lease=None):
    """One call: the status and the answer. The token is read anew for each."""
    with open(os.environ["TASK_TOKEN_FILE"]) as file:
        headers = {"Authorization": "Bearer " + file.read().strip(), "Content-Type": "application/json"}
    headers["Task-Process"] = str(os.getpid())
    if lease:
        headers["Task-Lease"] = lease
    url = os.environ["TASK_API_URL"] + "/worker/v1/" + verb
    request = urllib.request.Request(url, json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=90) as response:
            return response.status, json.loads(response.read() or "null"), 1
    except urllib.error.HTTPError as error:
        return error.code, None, float(error.headers.get("Retry-After", 1))
    except (OSError, ValueError, http.client.HTTPException):
        return None, None, 1


class Task:
    """A leased task, with a heartbeat in a thread of its own."""

    def __init__(self, told):
        self.lease, self.payload, self.interval = told["lease"], told["payload"], told["heartbeat_seconds"]
        self.progress, self.cancelled, self.over = {}, None, False
        self.ended = threading.Event()
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self):
        while not self.ended.wait(self.interval):
            status, answer, _ = call("progress", self.progress, self.lease)
            self.over = self.over or status == 409
            self.cancelled = answer["cancel"]["reason"] if answer and answer.get("cancel") else self.cancelled

    def check(self):
        if self.over or self.cancelled:
            raise Stopped(self.cancelled)


def run(model, told):
    """Runs a task; what it returns is handed in."""
    task = Task(told)
    try:
        return {"lease": task.lease, "result": work(model, task.payload, task)}
    except Stopped as stopped:
        return None if task.over else {"lease": task.lease, "error": {"type": "Stopped", "message": str(stopped)}}
    except Exception as error:
        return {"lease": task.lease, "error": {"type": type(error).__name__, "message": str(error)}}
    finally:
        task.ended.set()


def main():
    model = load()
    print("the model is loaded", flush=True)
    done = None
    while True:
        status, answer, pause = call("next", {"done": done, "beats": True})
        if status == 200 and (done is None or "kept" in answer):
            if answer["stop"]:
                return
            done = run(model, answer["task"]) if answer["task"] else None
        else:
            if done and status in (400, 413, 422):
                done = {"lease": done["lease"], "error": {"type": "ResultRefused"}}
            time.sleep(pause)


if __name__ == "__main__":
    main()
