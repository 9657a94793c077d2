// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Anchors} from "peerage/Anchors.sol";
import {Directory} from "peerage/Directory.sol";
import {Members} from "peerage/Members.sol";
import {IAnchors} from "peerage/interfaces/IAnchors.sol";
import {IDirectory} from "peerage/interfaces/IDirectory.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {MemberStatus, Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract DirectoryTest is Network {
    Directory internal fresh;

    function setUp() public {
        deploy();
        vm.prank(operator, operator);
        fresh = new Directory();
    }

    function only(uint32 epochSeconds) internal pure returns (Params memory params) {
        params.epochSeconds = epochSeconds;
    }

    function test_owner_isTheTransactionsOrigin() public {
        // Through a proxy, as the deterministic deployment does it.
        vm.prank(address(0xdead), operator);
        assertEq(new Directory().owner(), operator);
    }

    function test_configure_fillsInDefaults() public {
        vm.prank(operator);
        fresh.configure(only(60));
        Params memory params = fresh.params();
        assertEq(params.epochSeconds, 60);
        assertEq(params.genesisTime, block.timestamp);
        assertEq(params.samples, 8);
        assertEq(params.graceEpochs, 16);
        assertEq(params.escrowEpochs, 32);
        assertEq(params.windowEpochs, 16);
        assertEq(params.failAt, 6);
        assertEq(params.commitDelay, 2);
        assertEq(params.standDownAfter, 64);
        assertEq(params.repairEpochs, 16);
        assertEq(params.minCapacity, 1 << 20);
    }

    function test_configure_onceAndByTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        fresh.configure(only(60));
        vm.startPrank(operator);
        fresh.configure(only(60));
        vm.expectRevert(IDirectory.AlreadyConfigured.selector);
        fresh.configure(only(60));
        vm.stopPrank();
    }

    function test_configure_refusesBadParameters() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "epochSeconds"));
        fresh.configure(only(1));
        Params memory params = only(60);
        params.samples = 257;
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "samples"));
        fresh.configure(params);
        params = only(60);
        params.windowEpochs = 65;
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "windowEpochs"));
        fresh.configure(params);
        params = only(60);
        params.failAt = 17;
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "failAt"));
        fresh.configure(params);
        params = only(60);
        params.commitDelay = 1;
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "commitDelay"));
        fresh.configure(params);
        vm.stopPrank();
    }

    function test_params_beforeConfigure() public {
        vm.expectRevert(IDirectory.NotConfigured.selector);
        fresh.params();
        vm.expectRevert(IDirectory.NotConfigured.selector);
        new Members(fresh);
    }

    function test_set_countsVersions() public {
        assertEq(directory.version(Kinds.MEMBERS), 1);
        Members next = new Members(directory);
        vm.expectEmit(address(directory));
        emit IDirectory.ContractSet(Kinds.MEMBERS, address(next), 2);
        vm.prank(operator);
        directory.set(Kinds.MEMBERS, address(next));
        assertEq(directory.get(Kinds.MEMBERS), address(next));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        directory.set(Kinds.MEMBERS, address(next));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotAContract.selector, Kinds.MEMBERS, address(5)));
        vm.prank(operator);
        directory.set(Kinds.MEMBERS, address(5));
    }

    function test_missingContract_isNamed() public {
        vm.prank(operator);
        fresh.configure(only(60));
        Anchors lonely = new Anchors(fresh);
        assertEq(address(lonely.directory()), address(fresh));
        assertEq(fresh.get(Kinds.MEMBERS), address(0));
        vm.expectRevert(abi.encodeWithSelector(IPeered.MissingContract.selector, Kinds.MEMBERS));
        lonely.anchor(0, 1, "head");
    }

    function test_domainSeparator_namesChainAndDirectory() public view {
        bytes32 expected = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Peerage"),
                keccak256("1"),
                block.chainid,
                address(directory)
            )
        );
        assertEq(directory.domainSeparator(), expected);
    }

    function test_credit_isMintedByTheOperatorOnly() public {
        assertEq(credit.decimals(), 6);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        credit.mint(address(this), 1);
    }

    // Anchors

    function test_anchor_numbersGrow() public {
        uint32 member = join();
        vm.startPrank(node(member));
        vm.expectEmit(address(anchors));
        emit IAnchors.HeadAnchored(member, 0, 3, "head", 0);
        anchors.anchor(0, 3, "head");
        (uint64 number, bytes32 head, uint32 epoch) = anchors.latest(member, 0);
        assertEq(number, 3);
        assertEq(head, "head");
        assertEq(epoch, 0);
        vm.expectRevert(abi.encodeWithSelector(IAnchors.NumberNotGrowing.selector, member, 0, 3, 3));
        anchors.anchor(0, 3, "other");
        vm.expectRevert(IAnchors.ZeroHead.selector);
        anchors.anchor(0, 4, 0);
        anchors.anchor(0, 4, "other");
        anchors.anchor(1, 1, "another repository");
        vm.stopPrank();
        (number,,) = anchors.latest(member, 1);
        assertEq(number, 1);
        (number,,) = anchors.latest(9, 0);
        assertEq(number, 0);
    }

    function test_anchor_isForActiveMembers() public {
        uint32 member = join();
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        anchors.anchor(0, 1, "head");
        vm.prank(operator);
        members.suspend(member);
        vm.expectRevert(abi.encodeWithSelector(IPeered.StatusForbids.selector, member, MemberStatus.SUSPENDED));
        vm.prank(node(member));
        anchors.anchor(0, 1, "head");
    }
}
