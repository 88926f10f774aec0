"""Two web servers with the same page: one whose origin the daemon allows, and one foreign."""

import http.server
import json
import pathlib
import queue
import threading

FILES = pathlib.Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript"}


class Site(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.scripts = {}
        self.reports = queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def origin(self):
        return f"http://localhost:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        file = FILES / path.lstrip("/")
        text = self.server.scripts.get(path) or (file.is_file() and file.read_text())
        if not text:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", TYPES[pathlib.Path(path).suffix])
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.reports.put(report)

    def log_message(self, *_):
        pass


class Pages:
    def __init__(self):
        self.own, self.foreign = Site(), Site()

    @property
    def allowed(self):
        return self.own.origin

    def close(self):
        for site in (self.own, self.foreign):
            site.shutdown()
            site.server_close()
