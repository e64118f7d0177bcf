"""What an author of an environment writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_protocol.calling import invoke
from envport_protocol.errors import ToolError, UnknownTaskError
from envport_protocol.rewards import MethodReward, method_rewards
from envport_protocol.tools import MethodTool, method_tools

if TYPE_CHECKING:
    from envport_protocol.messages import RewardSpec


class BaseEnv:
    """An environment: tasks, tools and a reward. Override what you need, sync or async, and serve it.

    Every method is called with those of its values that its signature asks for by name, so an override lists only the
    parameters it wants. Blocking methods run in a bounded pool of threads, and calls of different rollouts overlap:
    keep a rollout's state under its `rollout_id`. No `__init__` of this class must run.

    Raise ToolError from a tool when the model's call was wrong. Anything else that is raised counts as the
    environment's fault, and nothing is learned from that rollout.
    """

    deterministic: bool = False
    """Set it where the same start and the same calls always give the same answers and touch nothing outside of this
    object. Then rollouts survive a restart of the server and can be forked: both by running their calls again."""

    system_prompt: str = ""
    """Put before the messages of a task that has no system message of its own. May be a method too."""

    def start_serving(self) -> Any:
        """Called once in each process that serves, before anything else is asked: start here what rollouts share.

        The server is not ready until it is done.

        Raises:
            EnvDefinitionError: it cannot be served here; the text says why and what to do.
        """
        return None

    def stop_serving(self) -> Any:
        """Called once after the last rollout ended, when the server stops: free here what `start_serving` made."""
        return None

    def list_tools(self, *args: Any, **kwargs: Any) -> Any:
        """The tools: a list of ToolSpec or dicts. Asks for: rollout_id (then it is called once for each rollout).

        By default the methods marked `@tool`.
        """
        return [bound.spec for bound in self._method_tools().values()]

    async def run_tool(self, *args: Any, **kwargs: Any) -> Any:
        """What a tool says: `run_tool(self, rollout_id, tool_name, **args)`. Text, ToolResult, or any JSON value.

        By default calls the method marked `@tool`. The arguments fit the tool's schema when this is called.

        Raises:
            ToolError: the call was wrong; the model reads the text.
        """
        named = dict(zip(("rollout_id", "tool_name"), args, strict=False)) | kwargs
        rollout_id, tool_name = named.pop("rollout_id"), named.pop("tool_name")
        bound = self._method_tools().get(tool_name)
        if bound is None:
            raise ToolError(f"There is no tool {tool_name!r}.")
        arguments = bound.typed(named)
        if bound.takes_rollout_id:
            arguments["rollout_id"] = rollout_id
        return await invoke(bound.method, arguments)

    async def compute_reward(self, *args: Any, **kwargs: Any) -> Any:
        """The score of a rollout: a dict of component names to numbers (None: not scored), or one number. In place of a
        number a RewardResult, which has the reason for it.

        Asks for any of: rollout_id, completion (the last assistant text), messages (the whole conversation as dicts),
        ground_truth, task, metadata, seed. By default the methods marked `@reward`.
        """
        named = dict(zip(("completion", "ground_truth"), args, strict=False)) | kwargs
        return {component.spec.name: await component.call(named) for component in self._method_rewards()}

    def compute_group_reward(self, *args: Any, **kwargs: Any) -> Any:
        """The scores of a group's rollouts together: a list of what `compute_reward` would give, one for each.

        Asks for any of these lists, in the order of the members: rollout_ids, completions, messages, ground_truths,
        tasks, metadatas, seeds. By default each is scored alone.
        """
        raise NotImplementedError

    def get_state(self, *args: Any, **kwargs: Any) -> Any:
        """The state of a rollout, to be forked: `get_state(self, rollout_id)`.

        It must share nothing that changes with the rollout itself.
        """
        raise NotImplementedError

    def set_state(self, *args: Any, **kwargs: Any) -> Any:
        """Gives a rollout that was just started the state of another: `set_state(self, rollout_id, state)`."""
        raise NotImplementedError

    def rewards(self) -> list[RewardSpec]:
        """The components that `compute_reward` gives, with weight and range. By default those marked `@reward`."""
        return [component.spec for component in self._method_rewards()]

    def splits(self) -> list[str]:
        """The names of the task sets. By default train and eval, as far as `tasks` knows them."""
        return ["train", "eval"]

    def tasks(self, *args: Any, **kwargs: Any) -> Any:
        """The tasks of a split: `tasks(self, split)`, a sequence of EnvTask with a length and access by index.

        Rows that are not EnvTask go through `dataset_preprocess`. Without this method a rollout is started by the
        messages and the ground truth that the trainer brings.

        Raises:
            UnknownTaskError: no such split.
        """
        raise UnknownTaskError("this environment has no tasks of its own; start a rollout by messages and ground_truth")

    def dataset_preprocess(self, *args: Any, **kwargs: Any) -> Any:
        """A task from a row of a dataset: a dict with `prompt` or `messages`, and `ground_truth`. Default: the row."""
        return args[0]

    def start_rollout(self, *args: Any, **kwargs: Any) -> Any:
        """Called when a rollout begins: `start_rollout(self, rollout_id, task)`. May ask for seed too.

        None, or the messages to begin with instead of the task's.
        """
        return None

    def end_rollout(self, *args: Any, **kwargs: Any) -> Any:
        """Called once when a rollout ended or expired: `end_rollout(self, rollout_id)`. Free its state here."""
        return None

    def init_rollout(self, *args: Any, **kwargs: Any) -> Any:
        """Called before `start_rollout` with `rollout_id` and the task's `init_args`."""
        return None

    def release_rollout(self, *args: Any, **kwargs: Any) -> Any:
        """Called after `end_rollout` with `rollout_id`."""
        return None

    def _method_tools(self) -> dict[str, MethodTool]:
        # Subclasses need not call super().__init__(), so the marked methods are found at first use.
        found: dict[str, MethodTool] | None = vars(self).get("_envport_tools")
        if found is None:
            found = vars(self)["_envport_tools"] = method_tools(self)
        return found

    def _method_rewards(self) -> list[MethodReward]:
        found: list[MethodReward] | None = vars(self).get("_envport_rewards")
        if found is None:
            found = vars(self)["_envport_rewards"] = method_rewards(self)
        return found


def overrides(env: BaseEnv, name: str) -> bool:
    """Whether the author wrote this method or attribute."""
    return name in vars(env) or getattr(type(env), name, None) is not getattr(BaseEnv, name, None)
