"""A whole worker, with nothing but Python. Put your own work in the place of work()."""
import http.client, json, os, time, urllib.error, urllib.request

def work(payload):
    time.sleep(payload.get("seconds", 0))
    if "fail" in payload: raise RuntimeError(payload["fail"])
    return payload.get("answer")

def ask(done):
    while True:
        pause = 1
        try:
            headers = {"Authorization": "Bearer " + open(os.environ["TASK_TOKEN_FILE"]).read().strip(), "Content-Type": "application/json"}
            request = urllib.request.Request(os.environ["TASK_API_URL"] + "/worker/v1/next", json.dumps({"done": done}).encode(), headers)
            answer = json.load(urllib.request.urlopen(request, timeout=90))
            if done is None or "kept" in answer: return answer
        except urllib.error.HTTPError as error:
            pause = float(error.headers.get("Retry-After", 1))
            if done and error.code in (400, 413, 422):
                done = {"lease": done["lease"], "error": {"type": "ResultRefused", "message": error.read(500).decode(errors="replace")}}
        except (OSError, ValueError, http.client.HTTPException): pass
        time.sleep(pause)

done = None
while not (answer := ask(done))["stop"]:
    done, task = None, answer["task"]
    if task:
        try: done = {"lease": task["lease"], "result": work(task["payload"])}
        except Exception as error: done = {"lease": task["lease"], "error": {"type": type(error).__name__, "message": str(error)}}
