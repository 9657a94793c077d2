// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {RuleSet, Rules} from "./libraries/RuleSet.sol";
import {Params} from "./types/Types.sol";

/// @notice The one address to know. See IDirectory.
contract Directory is IDirectory, Ownable2Step, EIP712 {
    /// @dev Rules take 232 bits, which leaves 24 for the epoch from which they are in force.
    uint256 private constant SINCE_SHIFT = 232;

    uint32 private _epochSeconds;
    uint64 private _genesisTime;
    uint16 private _commitDelay;
    uint16 private _rulesDelay;
    /// @dev Rules, and above them the epoch since when. Oldest first; only the last may be in the future.
    uint256[] private _changes;
    mapping(bytes32 kind => address) private _current;
    mapping(bytes32 kind => uint32) private _versions;

    /// @dev The owner is tx.origin: the Directory is deployed through the CREATE2 proxy, which would be msg.sender, and an
    /// owner among the constructor's arguments would change the address that every recovery sheet relies on.
    // solhint-disable-next-line avoid-tx-origin
    constructor() Ownable(tx.origin) EIP712("Peerage", "1") {}

    /// @inheritdoc IDirectory
    function configure(Params calldata given) external override onlyOwner {
        if (_epochSeconds != 0) revert AlreadyConfigured();
        Params memory p = given;
        if (p.genesisTime == 0) p.genesisTime = uint64(block.timestamp);
        if (p.commitDelay == 0) p.commitDelay = 2;
        if (p.rulesDelay == 0) p.rulesDelay = 48;
        if (p.epochSeconds < 2) revert BadParameter("epochSeconds");
        if (p.commitDelay < 2) revert BadParameter("commitDelay");
        Rules rules = RuleSet.pack(p);
        (_epochSeconds, _genesisTime, _commitDelay, _rulesDelay) =
        (p.epochSeconds, p.genesisTime, p.commitDelay, p.rulesDelay);
        _changes.push(Rules.unwrap(rules));
        emit Configured(p);
    }

    /// @inheritdoc IDirectory
    function announceRules(Params calldata given, uint32 fromEpoch) external override onlyOwner {
        uint32 epoch = _currentEpoch();
        uint32 pending = _newestSince();
        if (pending > epoch) revert RulesPending(pending);
        if (fromEpoch < epoch + _rulesDelay) revert RulesTooSoon(fromEpoch, epoch + _rulesDelay);
        if (fromEpoch >= 1 << 24) revert BadParameter("fromEpoch");
        Rules rules = RuleSet.pack(given);
        _changes.push(Rules.unwrap(rules) | uint256(fromEpoch) << SINCE_SHIFT);
        emit RulesAnnounced(fromEpoch, rules);
    }

    /// @inheritdoc IDirectory
    function cancelRules() external override onlyOwner {
        uint32 since = _newestSince();
        if (since <= _currentEpoch()) revert NoRulesPending();
        _changes.pop();
        emit RulesCancelled(since);
    }

    /// @inheritdoc IDirectory
    function rulesAt(uint32 epoch) external view override returns (Rules, uint32) {
        return _rulesAt(epoch);
    }

    /// @inheritdoc IDirectory
    function set(bytes32 kind, address current) external override onlyOwner {
        if (current.code.length == 0) revert NotAContract(kind, current);
        _current[kind] = current;
        emit ContractSet(kind, current, ++_versions[kind]);
    }

    /// @inheritdoc IDirectory
    function get(bytes32 kind) external view override returns (address) {
        return _current[kind];
    }

    /// @inheritdoc IDirectory
    function version(bytes32 kind) external view override returns (uint32) {
        return _versions[kind];
    }

    /// @inheritdoc IDirectory
    function params() external view override returns (Params memory p) {
        p.epochSeconds = _epochSeconds;
        p.genesisTime = _genesisTime;
        p.commitDelay = _commitDelay;
        p.rulesDelay = _rulesDelay;
        if (p.epochSeconds == 0) revert NotConfigured();
        (Rules rules,) = _rulesAt(_currentEpoch());
        rules.unpack(p);
    }

    /// @inheritdoc IDirectory
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    function _rulesAt(uint32 epoch) private view returns (Rules rules, uint32 until) {
        until = type(uint32).max;
        for (uint256 i = _changes.length; i != 0; --i) {
            uint256 word = _changes[i - 1];
            uint32 since = uint32(word >> SINCE_SHIFT);
            if (since <= epoch) return (Rules.wrap(word & ((1 << SINCE_SHIFT) - 1)), until);
            until = since;
        }
        revert NotConfigured();
    }

    function _newestSince() private view returns (uint32) {
        if (_changes.length == 0) revert NotConfigured();
        return uint32(_changes[_changes.length - 1] >> SINCE_SHIFT);
    }

    function _currentEpoch() private view returns (uint32) {
        if (_epochSeconds == 0) revert NotConfigured();
        return block.timestamp < _genesisTime ? 0 : uint32((block.timestamp - _genesisTime) / _epochSeconds);
    }
}
