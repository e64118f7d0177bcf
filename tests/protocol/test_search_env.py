"""The class an author would write first, served as it stands."""

from __future__ import annotations

from envport_protocol import BaseEnv


class SearchClient:
    def __init__(self, pages):
        self.pages = pages

    async def search(self, query, top_k=3):
        return [title for title in self.pages if query.lower() in title.lower()][:top_k]


class SearchEnv(BaseEnv):
    def __init__(self, search_client):
        self.search_client = search_client

    async def list_tools(self):
        return [
            {
                "name": "search",
                "description": "Search the pages",
                "parameters": {"query": "What to look for", "top_k": "int (optional), how many results"},
            }
        ]

    async def run_tool(self, rollout_id, tool_name, **args):
        return "\n".join(await self.search_client.search(**args))

    async def compute_reward(self, completion, ground_truth):
        return {"correctness": 0.7 if ground_truth in completion else 0.0}


SEARCH_TOOL = {
    "name": "search",
    "description": "Search the pages",
    "parameters": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for"},
            "top_k": {"type": "integer", "description": "int (optional), how many results"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
}


def test_search_env_as_printed_drives_a_whole_rollout(api):
    server = api(SearchEnv(SearchClient(["Paris is the capital", "Lyon", "Paris has a tower"])))
    manifest = server.get("/v1/manifest").json()
    started = server.start(messages=[{"role": "user", "content": "Capital of France?"}], ground_truth="Paris").json()
    found = server.run_tool("search", query="paris", top_k=1).json()
    misfit = server.run_tool("search", "c2", top_k=1).json()
    scored = server.score("It is Paris.").json()
    ended = server.end()

    assert manifest["name"] == "SearchEnv"
    assert manifest["protocol"] == {"min": "1.0", "max": "1.1"}
    assert manifest["tools"] == [SEARCH_TOOL]
    assert manifest["splits"] == []
    assert started["tools"] == [SEARCH_TOOL]
    assert [(m["role"], m["content"]) for m in started["messages"]] == [("user", "Capital of France?")]
    assert (started["rollout_id"], started["task_id"], started["trainable"]) == ("r1", None, True)
    assert found == {
        "content": [{"type": "text", "text": "Paris is the capital"}],
        "outcome": "ok",
        "trainable": True,
        "rewards": {},
        "done": False,
    }
    assert (misfit["outcome"], misfit["trainable"]) == ("tool_error", True)
    assert "'query' is a required property" in misfit["content"][0]["text"]
    assert scored == {
        "reward": 0.7,
        "rewards": {"correctness": {"score": 0.7, "weight": 1.0, "reason": None}},
        "metrics": {},
        "outcome": "ok",
        "trainable": True,
    }
    assert (ended.status_code, ended.json()) == (200, {"rollout_id": "r1"})


def test_unknown_tool_is_told_to_the_model_and_the_rollout_goes_on(api):
    server = api(SearchEnv(SearchClient(["Lyon"])))
    server.start()
    wrong = server.run_tool("find", query="x")
    assert (wrong.status_code, wrong.json()["outcome"], wrong.json()["trainable"]) == (200, "tool_error", True)
    assert wrong.json()["content"] == [{"type": "text", "text": "There is no tool 'find'. Available tools: search."}]
    assert server.run_tool("search", "c2", query="lyon").json()["content"] == [{"type": "text", "text": "Lyon"}]
