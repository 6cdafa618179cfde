"""A job's output file that grows while it is followed."""

from extension.jobs import JOB, job
from extension.scripted import Answer, Request

SECRET = "sig=THE-SECRET"


class GrowingFile:
    """A job whose file takes its next shape with each download; the job ends with the last but one."""

    def __init__(self, server, *shapes: bytes) -> None:
        self.server, self.shapes, self.downloads, self.listings = server, list(shapes), 0, 0
        self.faults: list[Answer] = []
        self.ranges: list[str] = []
        self.honours_ranges = True
        server.on("GET", JOB, lambda _: job("running" if len(self.shapes) > 1 else "succeeded", 0))
        server.on("POST", f"{JOB}/listOutputFiles", self._list)
        server.on("GET", "/file", self._download)

    def _list(self, _: Request) -> Answer:
        self.listings += 1
        url = f"{self.server.url}/file?{SECRET}&n={self.listings}"
        names = ("execution.log", "stdout.txt")
        files = [{"name": name, "fileType": "file", "downloadUrl": url, "properties": {}} for name in names]
        return Answer(200, {"value": files})

    def _download(self, request: Request) -> Answer:
        # The URL is signed: whoever gets it must not get the token as well.
        assert "authorization" not in request.headers
        if self.faults:
            return self.faults.pop(0)
        self.downloads += 1
        content = self.shapes.pop(0) if len(self.shapes) > 1 else self.shapes[0]
        self.ranges.append(request.headers["range"])
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        if not self.honours_ranges:
            return Answer(200, content)
        return Answer(206, content[start:]) if start < len(content) else Answer(416)
